"""Weights and biases of test networks (`arch: test`) from NumPy files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.frontend.yaml.checkpoint_parameters import described
from ai8x_tool.frontend.yaml.description import NetworkDescription
from ai8x_tool.frontend.yaml.parameter_rules import (
    ParameterFile,
    Tensor,
    constraint_array_range,
    constraint_integer_arrays,
    constraint_kernel_match,
    constraint_parameter_count,
    constraint_weight_shape,
    kernel_size,
)
from ai8x_tool.network.layer import BINARY, IntArray, Parameters
from ai8x_tool.readers.numpy_file import read_arrays
from ai8x_tool.rule import require

Array = npt.NDArray[Any]


def load_test_parameters(
    description: NetworkDescription, weight_file: Path, bias_file: Path | None
) -> dict[int, Parameters]:
    """Return the parameters of every layer with weights, by index.

    The files hold consecutive arrays, one per layer with weights; a single array of weights enumerates them along its
    first axis. Raises Ai8xError naming file and layer.
    """
    layers = [layer for layer in description.layers if layer.takes_parameters]
    weights = read_arrays(weight_file)
    if len(weights) == 1 and len(layers) > 1:
        weights = list(weights[0])
    names = tuple(f"array {number}" for number in range(len(weights)))
    file = ParameterFile(str(weight_file), description, description.arch, names, tuple(layers))
    require(constraint_parameter_count, file)
    biases: list[Array | None] = [*(read_arrays(bias_file) if bias_file else []), *[None] * len(layers)]
    result = {}
    for position, (layer, values, bias) in enumerate(zip(layers, weights, biases, strict=False)):
        where = f"{weight_file}: array {position} ({layer.label} of {description.path.name})"
        kernels = _kernels(Tensor(where, values, layer))
        bits = layer.quantization or 8
        stored = None if bias is None else bias.astype(np.int64).reshape(-1)
        key = f"{weight_file.name}[{position}]"
        result[layer.index] = Parameters(
            *(key, _reduced(Tensor(where, kernels, layer, bits)), stored, bits, layer.output_shift or 0),
            described=described(layer),
        )
    return result


def _kernels(tensor: Tensor) -> IntArray:
    for rule in (constraint_integer_arrays, constraint_weight_shape, constraint_kernel_match):
        require(rule, tensor)
    values = tensor.values
    return values.astype(np.int64).reshape(*values.shape[:2], *kernel_size(values.shape))


def _reduced(tensor: Tensor) -> IntArray:
    """Return the weights shifted right until they fit the tensor's bits."""
    weights: IntArray = tensor.values
    if tensor.bits == BINARY:
        return np.where(weights >= 0, 1, -1)
    require(constraint_array_range, tensor)
    extremes = [int(v) + 1 if v < 0 else int(v) for v in (weights.max(), weights.min())]
    needed = 2 + max(abs(v).bit_length() - 1 for v in extremes)
    return weights >> max(0, needed - tensor.bits)
