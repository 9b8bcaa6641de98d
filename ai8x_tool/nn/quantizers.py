"""Fake quantization with straight-through estimators, in as few passes over memory as possible."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ai8x_tool.device.limits import OUTPUT_SHIFT

ACTIVATION_LOW, ACTIVATION_HIGH = -1.0, 127 / 128
"""Range of an activation outside simulate mode."""
WIDE_LOW, WIDE_HIGH = -(2.0**15), 2.0**15 - 1
"""Range of a 32-bit output outside simulate mode."""

# A value is rounded up to 1.0 and clipped if it reaches 1.0 after adding 1/256. hardtanh_backward excludes both
# ends, so the inclusive lower end is moved to the next smaller float.
_BELOW_MINUS_ONE = -1.0 - 2.0**-23
HALF_STEP = 1 / 256


def output_shift(weight: Tensor, bias: Tensor | None, quantile: float) -> int:
    """Return s such that 2^(−s) brings the given quantile of all |parameters| into (1/2, 1]; −15…15.

    It is 0 for undefined parameters (NaN), and at a limit where all parameters are 0 or one is infinite.
    """
    with torch.no_grad():
        values = weight.detach().reshape(-1)
        if bias is not None:
            values = torch.cat((values, bias.detach().reshape(-1)))
        magnitudes = values.abs()
        limit = magnitudes.max() if quantile >= 1 else torch.quantile(magnitudes, quantile)
        inverse = float(limit.reciprocal().log2())
    if math.isnan(inverse):
        return 0
    return -clamped_shift(math.floor(inverse) if math.isfinite(inverse) else inverse)


def clamped_shift(shift: float) -> int:
    """Return the output shift limited to what the accelerator supports."""
    return int(max(-OUTPUT_SHIFT, min(OUTPUT_SHIFT, shift)))


class _QuantizeParameter(torch.autograd.Function):
    """clamp(floor(v·2^(n−1) + 1/2) / 2^(n−1)) of v = w·2^(−s), times 2^(`exponent`)."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, shift: int, bits: int, exponent: int) -> Tensor:
        levels = 2 ** (bits - 1)
        integers = parameter.mul(levels * 2.0**-shift).add_(0.5).floor_()
        ctx.save_for_backward((integers >= -levels) & (integers <= levels - 1))
        ctx.factor = 2.0 ** (exponent - shift)
        return integers.clamp_(-levels, levels - 1).mul_(2.0**exponent / levels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        result = gradient * inside
        return result if ctx.factor == 1 else result.mul_(ctx.factor), None, None, None


def quantize_parameter(parameter: Tensor, shift: int, bits: int, exponent: int) -> Tensor:
    """Return weights or biases scaled by 2^(−shift), quantized to `bits`, and scaled by 2^exponent."""
    result: Tensor = _QuantizeParameter.apply(parameter, shift, bits, exponent)
    return result


class _QuantizeActivation(torch.autograd.Function):
    """floor(128·v) / 128 clipped to the activation range, of v = z + 1/256; with ReLU clipped at 0."""

    @staticmethod
    def forward(ctx: Any, shifted: Tensor, relu: bool) -> Tensor:
        ctx.save_for_backward(shifted)
        ctx.low = HALF_STEP if relu else _BELOW_MINUS_ONE
        return shifted.mul(128.0).floor_().clamp_(0 if relu else -128, 127).mul_(1 / 128)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (shifted,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, shifted, ctx.low, 1.0), None


def quantize_activation(shifted: Tensor, *, relu: bool) -> Tensor:
    """Return activations rounded to multiples of 1/128. `shifted` is the value plus 1/256, which the bias includes."""
    result: Tensor = _QuantizeActivation.apply(shifted, relu)
    return result


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.bounds = (_next(low, -math.inf), _next(high, math.inf))
        return value.clamp(low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (value,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, value, *ctx.bounds), None, None


def clamp(value: Tensor, low: float, high: float) -> Tensor:
    """Return clamped values; the gradient is 1 up to both limits, like torch.clamp's at a third of its cost."""
    result: Tensor = _Clamp.apply(value, low, high)
    return result


def _next(value: float, towards: float) -> float:
    return float(torch.nextafter(torch.tensor(value), torch.tensor(towards)))


class _RoundSteps(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, value: Tensor, steps: float) -> Tensor:
        return value.mul(steps).add_(0.5).floor_().mul_(1 / steps)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def round_steps(value: Tensor, steps: float) -> Tensor:
    """Return values rounded half up to multiples of 1/steps; `steps` is a power of two."""
    result: Tensor = _RoundSteps.apply(value, steps)
    return result


class _QuantizeAverage(torch.autograd.Function):
    """Average from a window sum, rounded like on the accelerator. Division, not a reciprocal: exact at integers."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, count: int, steps: float, nearest: bool) -> Tensor:
        ctx.count = count
        units = total.mul(steps)
        average = units.div_(count).round_() if nearest else units.div_(count).trunc_()
        return average.mul_(1 / steps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient / ctx.count, None, None, None


def quantize_average(total: Tensor, count: int, steps: float, *, nearest: bool) -> Tensor:
    """Return total/count in multiples of 1/steps, rounded towards zero or, with `nearest`, half to even."""
    result: Tensor = _QuantizeAverage.apply(total, count, steps, nearest)
    return result
