"""Trained model ≈ quantized model ≡ integer engine, layer by layer, in torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ai8x_tool.engine import LayerTensors
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.nn import FusedModule, named_fused_modules
from ai8x_tool.nn.hooks import Call, observed_calls

Array = npt.NDArray[Any]

_UNIT = 128
"""Integers of 8-bit data are 1/128 of a real number's unit."""


@dataclass(frozen=True)
class LayerDistance:
    """How far the quantized model is from the trained one: signal to quantization noise in dB, share of clipped values.

    `sqnr` is infinite where both are equal.
    """

    sqnr: float
    clipped: float


@dataclass(frozen=True)
class LayerEquality:
    """Quantized model in torch against the engine: `first` says where the first of `different` values is."""

    values: int
    different: int
    first: str | None


@contextmanager
def captured_outputs(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the outputs of all fused modules, by name, one entry for each call, while the block runs.

    They are what the accelerator computes: without final scales.
    """
    modules = list(named_fused_modules(model))
    outputs: dict[str, list[Tensor]] = {name: [] for name, _ in modules}

    def keep(call: Call[FusedModule], output: Tensor) -> None:
        outputs[call.name].append(output.detach() * 2.0**-call.module.final_scale_exponent)

    with observed_calls(modules, after=keep):
        yield outputs


@torch.no_grad()
def layer_outputs(model: nn.Module, network: Network, inputs: Tensor) -> dict[int, Tensor]:
    """Run `inputs` through `model`; return the outputs of the modules that the network's layers take weights from.

    Layers without weights, and those whose module the model does not have, are left out.
    """
    with captured_outputs(model.eval()) as outputs:
        model(inputs)
    found = {}
    for name in network.evaluation_order():
        layer = network[name]
        calls = outputs.get(module_name(layer), []) if layer.parameters is not None else []
        if calls:
            found[layer.index] = calls.pop(0)
    return found


def module_name(layer: Layer) -> str:
    """Return the name of the module that the layer's weights are from."""
    assert layer.parameters is not None
    return layer.parameters.key.removesuffix("weight").removesuffix(".").removesuffix(".op")


def compare_with_engine(
    layer: Layer, output: Tensor, tensors: LayerTensors, stride: tuple[int, int] = (1, 1)
) -> LayerEquality:
    """Compare torch's integers (N, channels, …) of one layer, a convolution with `stride`, with the engine's."""
    expected = tensors.outputs[layer.index][:, :, :: stride[0], :: stride[1]]
    if output.numel() != expected.size:
        have, want = ("×".join(map(str, shape[1:])) for shape in (output.shape, expected.shape))
        return LayerEquality(expected.size, expected.size, f"the model's output is {have}, the engine's {want}")
    actual = output.double().cpu().numpy().reshape(len(expected), layer.channels_out, -1)
    wanted = expected.reshape(actual.shape)
    wrong = actual != wanted
    if not wrong.any():
        return LayerEquality(actual.size, 0, None)
    sample, channel, pixel = np.argwhere(wrong)[0].tolist()
    row, column = divmod(pixel, expected.shape[3])
    place = f"sample {sample}, channel {channel}, row {row}, column {column}"
    values = f"torch has {actual[sample, channel, pixel]:.0f}, the engine {wanted[sample, channel, pixel]}"
    return LayerEquality(actual.size, int(wrong.sum()), f"{place}: {values}")


def conv_strides(model: nn.Module, network: Network) -> dict[int, tuple[int, int]]:
    """Return the strides of the convolutions that have some, by layer.

    The accelerator computes all values of such a convolution, and a layer of its own takes those that are wanted.
    """
    strides = {}
    modules = dict(named_fused_modules(model))
    for layer in network.layers:
        op = modules[module_name(layer)].op if layer.parameters and module_name(layer) in modules else None
        if isinstance(op, nn.Conv1d | nn.Conv2d):
            rows, columns = (*op.stride, 1)[:2]
            strides[layer.index] = int(rows), int(columns)
    return strides


def distance(layer: Layer, trained: Tensor, quantized: Tensor, *, fitted: bool = False) -> LayerDistance:
    """Compare real outputs of the trained model with the integers of the quantized one.

    `fitted`: the integers are scaled to fit best, because ranges of layers that are not trained with quantization are
    in other units.
    """
    wide = layer.output_width != 8
    unit = _UNIT * (1 << abs(layer.bits) - 1 if wide else 1)
    signal, found = trained.double().flatten(), quantized.double().flatten() / unit
    if fitted:
        found = found * (signal.dot(found) / found.dot(found).clamp(min=1e-30))
    noise = signal - found
    power, error = float(signal.square().sum()), float(noise.square().sum())
    sqnr = math.inf if error == 0 else 10 * math.log10(power / error) if power else -math.inf
    clipped = 0.0 if wide else float(((quantized >= _UNIT - 1) | (quantized <= -_UNIT)).double().mean())
    return LayerDistance(sqnr, clipped)
