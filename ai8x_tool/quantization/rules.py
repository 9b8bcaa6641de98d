"""Conversion of one layer's weights to integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ai8x_tool.device.limits import OUTPUT_SHIFT
from ai8x_tool.errors import Ai8xError

ClipMethod = Literal["AVGMAX", "MAX", "STDDEV", "SCALE"]

_LARGEST_QUANTILE_INPUT = 16_000_000
LOWEST_SHIFT, HIGHEST_SHIFT = -OUTPUT_SHIFT - 8, OUTPUT_SHIFT - 8
"""Limits of stored output shifts, less the weight bits: the accelerator's shift exceeds them by 8 − weight bits."""


@dataclass(frozen=True)
class Clipping:
    """Clipping method of post-training quantization without QAT information."""

    method: ClipMethod
    scale: float = 0.85
    deviations: float = 2.0


@dataclass(frozen=True)
class QuantizedLayer:
    """Integer weights and bias (float32 tensors), and the output shift (None: unchanged)."""

    weights: Tensor
    bias: Tensor | None
    output_shift: float | None


def quantile(values: Tensor, level: float) -> Tensor:
    """Return the `level`-quantile of a flat float32 tensor by linear interpolation, for any size."""
    if level >= 1:
        return values.max()
    if values.numel() <= _LARGEST_QUANTILE_INPUT:
        return torch.quantile(values, level)
    position = level * (values.numel() - 1)
    ordered = values.sort().values
    low = int(position)
    return torch.lerp(ordered[low], ordered[min(low + 1, len(ordered) - 1)], position - low)


def to_integers(values: Tensor, factor: Tensor | float, bits: int) -> Tensor:
    """Return `factor`·`values`, rounded half up and clipped to signed integers of `bits` bits, as float32."""
    limit = 2 ** (bits - 1)
    return torch.floor(factor * values + 0.5).clamp(-limit, limit - 1)


def quantize_trained(weights: Tensor, bias: Tensor | None, bits: int, level: float) -> QuantizedLayer:
    """Quantize a layer of a QAT checkpoint: the `level`-quantile of all its parameters sets the output shift."""
    parameters = [weights.flatten()] if bias is None else [weights.flatten(), bias.flatten()]
    limit = quantile(torch.cat(parameters).abs(), level)
    exponent = torch.floor(torch.log2(1 / limit)).clamp(-HIGHEST_SHIFT - bits, -LOWEST_SHIFT - bits)
    factor = 2 ** (bits - 1) * torch.exp2(exponent)
    return QuantizedLayer(
        weights=to_integers(weights, factor, bits),
        bias=None if bias is None else to_integers(bias, factor, bits) * 2 ** (bits - 1),
        output_shift=float(-exponent),
    )


@dataclass(frozen=True)
class FoldedShift:
    """An output shift that includes the activation range. `problem` describes a shift that does not fit, or is None."""

    shift: int
    problem: str | None


def fold_range(output_shift: float, exponent: int, bits: int) -> FoldedShift:
    """Return the output shift of a layer whose outputs are divided by 2^exponent relative to its inputs."""
    wanted = int(output_shift) - exponent
    shift = max(-HIGHEST_SHIFT - bits, min(-LOWEST_SHIFT - bits, wanted))
    low, high = LOWEST_SHIFT + bits, HIGHEST_SHIFT + bits
    if shift != wanted:
        return FoldedShift(shift, f"the output shift {wanted} is limited to {shift}")
    if not low <= shift <= high:
        return FoldedShift(shift, f"the output shift {shift} is outside {low} … {high}, which {bits}-bit weights allow")
    return FoldedShift(shift, None)


def quantize_clipped(weights: Tensor, bias: Tensor | None, bits: int, clipping: Clipping) -> QuantizedLayer:
    """Quantize a layer by a factor derived from its weights alone."""
    factor = 2 ** (bits - 1) * _clip_factor(weights, clipping)
    return QuantizedLayer(
        weights=to_integers(weights, factor, bits),
        bias=None if bias is None else to_integers(bias, factor, bits) * 2 ** (bits - 1),
        output_shift=None,
    )


def average_maximum(values: Tensor) -> float:
    """Return the larger magnitude of two averages over the outputs: of the minima and of the maxima."""
    rows = values.reshape(values.shape[0] if values.dim() else 1, -1)
    return max(float(rows.min(dim=1).values.mean().abs()), float(rows.max(dim=1).values.mean().abs()))


def _clip_factor(weights: Tensor, clipping: Clipping) -> float:
    if clipping.method == "SCALE":
        return clipping.scale
    if clipping.method == "MAX":
        return float(weights.abs().max())
    if clipping.method == "AVGMAX":
        return average_maximum(weights)
    if clipping.deviations <= 0:
        raise Ai8xError(f"--stddev {clipping.deviations} must be above 0")
    # In float32, like all computations here: the last bit of the factor affects a few of 100,000 weights.
    reach = clipping.deviations * (weights.std() if weights.numel() > 1 else torch.zeros(()))
    low = torch.maximum(weights.min(), weights.mean() - reach)
    high = torch.minimum(weights.max(), weights.mean() + reach)
    return float(torch.maximum(low.abs(), high.abs()))
