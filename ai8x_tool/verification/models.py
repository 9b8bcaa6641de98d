"""Comparison of trained model, quantized model and integer engine, layer by layer, in torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ai8x_tool.engine import LayerTensors
from ai8x_tool.network.layer import Layer

Array = npt.NDArray[Any]

_UNIT = 128
"""An 8-bit integer of 1 stands for the real number 1/128."""


@dataclass(frozen=True)
class LayerDistance:
    """Distance of the quantized model from the trained one: signal-to-quantization-noise ratio, and clipped values.

    `sqnr` is in dB, infinite if both are equal; `clipped` is the fraction of clipped values.
    """

    sqnr: float
    clipped: float


@dataclass(frozen=True)
class LayerEquality:
    """Comparison of the quantized model in torch with the engine; `first` describes the first of `different` values."""

    values: int
    different: int
    first: str | None


def compare_with_engine(
    layer: Layer, output: Tensor, tensors: LayerTensors, stride: tuple[int, int] = (1, 1)
) -> LayerEquality:
    """Compare torch's integers (N, channels, …) of one layer, a convolution with `stride`, with the engine's."""
    expected = tensors.outputs[layer.index][:, :, :: stride[0], :: stride[1]]
    if output.numel() != expected.size:
        have, want = ("×".join(map(str, shape[1:])) for shape in (output.shape, expected.shape))
        return LayerEquality(expected.size, expected.size, f"the model's output is {have}, the engine's is {want}")
    actual = output.double().cpu().numpy().reshape(len(expected), layer.channels_out, -1)
    wanted = expected.reshape(actual.shape)
    wrong = actual != wanted
    if not wrong.any():
        return LayerEquality(actual.size, 0, None)
    sample, channel, pixel = np.argwhere(wrong)[0].tolist()
    row, column = divmod(pixel, expected.shape[3])
    place = f"sample {sample}, channel {channel}, row {row}, column {column}"
    values = f"torch computes {actual[sample, channel, pixel]:.0f}, the engine {wanted[sample, channel, pixel]}"
    return LayerEquality(actual.size, int(wrong.sum()), f"{place}: {values}")


def distance(layer: Layer, trained: Tensor, quantized: Tensor, *, fitted: bool = False) -> LayerDistance:
    """Compare real outputs of the trained model with the integers of the quantized one.

    With `fitted`, the integers are scaled to fit best, because layers that were not trained with quantization use other
    units.
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
