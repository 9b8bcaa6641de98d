"""Rules about weights and biases: their number, shape and range."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.frontend.yaml.description import LayerDescription, NetworkDescription
from ai8x_tool.network.layer import BINARY, Pair
from ai8x_tool.rule import Finding

_WIDTHS = (1, 2, 4, 8)


class ParameterFile(NamedTuple):
    """A file with weights for the layers `needed` of `description`; `where` is its path. `arch` is None if unknown.

    `tensors` are the names of the weights that it contains.
    """

    where: str
    description: NetworkDescription
    arch: str | None
    tensors: tuple[str, ...]
    needed: tuple[LayerDescription, ...]


class WeightEntry(NamedTuple):
    """An entry of a checkpoint whose name is that of a weight; `where` is the checkpoint's path."""

    where: str
    key: str
    dimensions: int
    ignore_batchnorm: bool


class Tensor(NamedTuple):
    """Weights or a bias of one layer. `where` names file, key and layer; `bits` is the width of weights."""

    where: str
    values: npt.NDArray[Any]
    layer: LayerDescription
    bits: int = 8


def kernel_size(shape: tuple[int, ...]) -> Pair:
    """Return (rows, columns) of the kernels of a weight tensor (out, in[, rows[, columns]])."""
    rows, columns = (*shape[2:], 1, 1)[:2]
    return rows, columns


def _range(values: npt.NDArray[Any]) -> str:
    return f"{values.min()} … {values.max()}"


def _fits(values: npt.NDArray[Any], bits: int) -> bool:
    limit = 1 << (bits - 1)
    return bool(values.min(initial=0) >= -limit and values.max(initial=0) < limit)


def caution_unknown_architecture(s: ParameterFile) -> Finding | None:
    """The checkpoint should name its architecture, so that it cannot be confused with another."""
    return Finding("the checkpoint does not name its architecture") if s.arch is None else None


def constraint_architecture(s: ParameterFile) -> Finding | None:
    """Checkpoint and network description must have the same architecture (arch)."""
    if s.arch is None or s.arch.lower() == s.description.arch.lower():
        return None
    values = f"the checkpoint is for {s.arch!r}, the network description for {s.description.arch!r}"
    return Finding(values, f"use a checkpoint and a description ({s.description.path}) of the same model")


def constraint_folded_norm(s: WeightEntry) -> Finding | None:
    """Weights must have two or more dimensions, because batch normalization is folded into them."""
    if s.dimensions > 1 or (s.ignore_batchnorm and s.key.endswith(".bn.weight")):
        return None
    what = "batch normalization was not folded" if ".bn." in s.key else "one-dimensional weights"
    fix = "run `ai8x quantize` on the checkpoint, which folds batch normalization"
    return Finding(f"{s.key!r}: {what}", fix)


def caution_ignored_norm(s: WeightEntry) -> Finding | None:
    """Batch normalization should be folded, because ignoring it changes the network's results."""
    return Finding(f"{s.key!r} is ignored") if s.dimensions <= 1 else None


def constraint_parameter_count(s: ParameterFile) -> Finding | None:
    """There must be weights for every layer that needs some, in the order of the layers."""
    if len(s.tensors) >= len(s.needed):
        return None
    first = s.needed[len(s.tensors)]
    values = (
        f"{len(s.tensors)} weight tensors, but {len(s.needed)} layers of {s.description.path.name} need weights; "
        f"the last tensor is {s.tensors[-1]!r}, {first.label} has none"
        if s.tensors
        else f"no weight tensor, but {len(s.needed)} layers of {s.description.path.name} need weights"
    )
    return Finding(values, "list the layers in the order in which the model defines them")


def constraint_integer_values(s: Tensor) -> Finding | None:
    """Weights and biases of a quantized checkpoint must be integers."""
    with np.errstate(invalid="ignore"):  # a NaN differs from any integer to which it is converted
        if s.values.dtype.kind != "f" or np.array_equal(s.values.astype(np.int64), s.values):
            return None
    return Finding("the values are not integers: this checkpoint is not quantized", "run `ai8x quantize` on it first")


def constraint_integer_arrays(s: Tensor) -> Finding | None:
    """Weights from arrays must be stored as integers."""
    return None if s.values.dtype.kind in "iu" else Finding(f"the type of the array is {s.values.dtype}")


def constraint_weight_shape(s: Tensor) -> Finding | None:
    """Weights must have 2 to 4 dimensions (outputs, inputs, rows, columns), none of which is empty."""
    if 2 <= s.values.ndim <= 4 and s.values.size:
        return None
    return Finding(f"{'×'.join(map(str, s.values.shape))}, {s.values.ndim} dimensions")


def constraint_kernel_match(s: Tensor) -> Finding | None:
    """kernel_size must be the size of the layer's kernels in the checkpoint."""
    size = kernel_size(s.values.shape)
    if size == s.layer.kernel:
        return None
    have, want = "×".join(map(str, size)), "×".join(map(str, s.layer.kernel))
    one_dimensional = s.layer.operator == "conv1d"
    wanted = str(size[0]) if one_dimensional and size[1] == 1 else have.replace("×", "x")
    fix = f"set it to {wanted}, or check the order of layers and checkpoint entries"
    return Finding(f"the kernels are {have}, but kernel_size is {want}", fix)


def caution_taken_as_binary(s: Tensor) -> Finding | None:
    """Weights that are all +1 or −1 are stored as binary weights, unless quantization is set."""
    return Finding("all weights are +1 or −1") if s.bits == BINARY and s.layer.quantization is None else None


def caution_zero_weights(s: Tensor) -> Finding | None:
    """The weights of a layer should not all be 0."""
    return None if s.values.any() else Finding("all weights are 0")


def constraint_weight_width(s: Tensor) -> Finding | None:
    """Weights must have 1, 2, 4 or 8 bits, or be binary."""
    return None if s.bits in (BINARY, *_WIDTHS) else Finding(f"{s.bits}-bit weights")


def constraint_binary_weights(s: Tensor) -> Finding | None:
    """Binary weights must all be +1 or −1."""
    if s.bits != BINARY or bool((np.abs(s.values) == 1).all()):
        return None
    return Finding(f"they are {_range(s.values)}", "train with binary weights, or set another quantization")


def constraint_weight_range(s: Tensor) -> Finding | None:
    """Weights must fit the layer's weight width."""
    if s.bits == BINARY or _fits(s.values, s.bits):
        return None
    enough = next((str(bits) for bits in _WIDTHS if _fits(s.values, bits)), None)
    fix = f"quantize with {s.bits} bits" + (f", or set quantization to {enough}" if enough else "")
    return Finding(f"weights {_range(s.values)} do not fit {s.bits} bits", fix)


def constraint_array_range(s: Tensor) -> Finding | None:
    """Weights from arrays must fit 8 bits."""
    return None if _fits(s.values, 8) else Finding(f"weights {_range(s.values)}")


def constraint_bias_shape(s: Tensor) -> Finding | None:
    """A bias must have one dimension, and at least one value."""
    if s.values.ndim == 1:
        return None if s.values.size else Finding("it is empty")
    return Finding(f"this one has {s.values.ndim} dimensions")


def constraint_bias_range(s: Tensor) -> Finding | None:
    """Bias values must fit 8 bits after division by 2^(weight bits − 1)."""
    return None if _fits(s.values, 8) else Finding(f"bias values {_range(s.values)} do not fit 8 bits")


def hint_zero_bias(s: Tensor) -> Finding | None:
    """A bias whose values are all 0 is ignored and takes no memory."""
    return None if s.values.any() else Finding("all bias values are 0")


PARAMETER_RULES = (
    caution_unknown_architecture,
    constraint_architecture,
    constraint_folded_norm,
    caution_ignored_norm,
    constraint_parameter_count,
    constraint_integer_values,
    constraint_integer_arrays,
    constraint_weight_shape,
    constraint_kernel_match,
    caution_taken_as_binary,
    caution_zero_weights,
    constraint_weight_width,
    constraint_binary_weights,
    constraint_weight_range,
    constraint_array_range,
    constraint_bias_shape,
    constraint_bias_range,
    hint_zero_bias,
)
