"""Quantizers and clamps as separate modules, for layers that users compose themselves.

All of them have straight-through gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.nn.constraints import choice
from ai8x_tool.nn.context import resolve_context
from ai8x_tool.nn.quantizers import ACTIVATION_HIGH, ACTIVATION_LOW, WIDE_HIGH, WIDE_LOW
from ai8x_tool.nn.quantizers import clamp as clamp_with_gradient

_ACTIVATION_BITS, _WIDE_BITS = 8, 15


class _StraightThrough(torch.autograd.Function):
    """Base of step functions whose gradient is taken as 1."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return (gradients[0], *(None,) * (len(ctx.needs_input_grad) - 1))


class QuantizationFunction(_StraightThrough):
    """floor(x·2^(bits − 1 − extra) + 1/2) / 2^(bits − 1)."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor, bits: int = 8, extra_bit_shift: int = 0) -> Tensor:
        """Return `x` rounded to multiples of 2^(1 − bits)."""
        return x.mul(2.0 ** (bits - extra_bit_shift - 1)).add_(0.5).floor_().div_(2.0 ** (bits - 1))


QuantizeFunction = QuantizationFunction


class FloorFunction(_StraightThrough):
    """Largest integer not above x."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        """Return the floor."""
        return x.floor()


class RoundFunction(_StraightThrough):
    """Nearest integer, half to even."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        """Return the rounded tensor."""
        return x.round()


class AvgPoolFloorFunction(_StraightThrough):
    """x rounded towards zero, as average pooling rounds."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        """Return the truncated tensor."""
        return x.trunc()


class Quantize(nn.Module):
    """Quantizes to `num_bits` fixed-point bits: ``Quantize(8)`` gives multiples of 1/128."""

    def __init__(self, num_bits: int = 8, num_extra_bit_shift: int = 0) -> None:
        super().__init__()
        self.num_bits, self.num_extra_bit_shift = num_bits, num_extra_bit_shift

    def forward(self, x: Tensor) -> Tensor:
        """Return the quantized tensor."""
        result: Tensor = QuantizationFunction.apply(x, self.num_bits, self.num_extra_bit_shift)
        return result


class Floor(nn.Module):
    """Rounds down."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the floor."""
        result: Tensor = FloorFunction.apply(x)
        return result


class Round(nn.Module):
    """Rounds to the nearest integer, half to even."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded tensor."""
        result: Tensor = RoundFunction.apply(x)
        return result


class AvgPoolFloor(nn.Module):
    """Rounds towards zero."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the truncated tensor."""
        result: Tensor = AvgPoolFloorFunction.apply(x)
        return result


class Clamp(nn.Module):
    """Clamps to [`min_val`, `max_val`]; the gradient is 1 inside and at both ends."""

    def __init__(self, min_val: float, max_val: float) -> None:
        super().__init__()
        self.min_val, self.max_val = float(min_val), float(max_val)

    def forward(self, x: Tensor) -> Tensor:
        """Return the clamped tensor."""
        return clamp_with_gradient(x, self.min_val, self.max_val)


class _HalfUpSteps(nn.Module):
    """floor(x·`factor` + 1/2) / `divisor`."""

    def __init__(self, factor: float, divisor: float = 1.0) -> None:
        super().__init__()
        self.factor, self.divisor = factor, divisor

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = FloorFunction.apply(x * self.factor + 0.5)
        return result / self.divisor


class _Average(nn.Module):
    """Rounds averages to multiples of 1/`steps`."""

    def __init__(self, steps: float, nearest: bool) -> None:
        super().__init__()
        self.steps, self.nearest = steps, nearest

    def forward(self, x: Tensor) -> Tensor:
        function = RoundFunction if self.nearest else AvgPoolFloorFunction
        result: Tensor = function.apply(x * self.steps)
        return result / self.steps


def quantize_clamp(wide: bool, quantize_activation: bool = False, weight_bits: int = 8) -> tuple[nn.Module, nn.Module]:
    """Return the quantizer and the clamp of a layer's output in the mode of the surrounding build."""
    simulate = resolve_context(None, "quantize_clamp").simulate
    if simulate:
        quantize: nn.Module = _HalfUpSteps(2.0 ** ((weight_bits or 8) - 8) if wide else 1 / 128)
        return quantize, Clamp(-(2.0**29), 2.0**29 - 1) if wide else Clamp(-128, 127)
    clamp = Clamp(WIDE_LOW, WIDE_HIGH) if wide else Clamp(ACTIVATION_LOW, ACTIVATION_HIGH)
    if not quantize_activation:
        return nn.Identity(), clamp
    return Quantize(_WIDE_BITS if wide else _ACTIVATION_BITS), clamp


def quantize_clamp_pool(pooling: str | None, quantize_activation: bool = False) -> tuple[nn.Module, nn.Module]:
    """Return the quantizer and the clamp after a pooling ('Max', 'Avg' or None)."""
    context = resolve_context(None, "quantize_clamp_pool")
    choice(pooling, (None, "Max", "Avg"), "pooling", "quantize_clamp_pool")
    if pooling != "Avg":
        return nn.Identity(), nn.Identity()
    if context.simulate:
        return _Average(1.0, context.round_avg), Clamp(-128, 127)
    quantize = _Average(128.0, context.round_avg) if quantize_activation else nn.Identity()
    return quantize, Clamp(ACTIVATION_LOW, ACTIVATION_HIGH)


def quantize_clamp_parameters(bits: int | None) -> tuple[nn.Module, nn.Module]:
    """Return the quantizer and the clamp of weights of `bits`; both are identities for None or 0."""
    if resolve_context(None, "quantize_clamp_parameters").simulate:
        return _HalfUpSteps(2.0 ** (8 - (bits or 8))), nn.Identity()
    if not bits:
        return nn.Identity(), nn.Identity()
    return Quantize(bits), Clamp(-1.0, 1 - 2.0 ** (1 - bits))


def get_activation(activation: str | None = None) -> nn.Module:
    """Return the module of an activation ('ReLU', 'Abs' or None)."""
    choice(activation, (None, "ReLU", "Abs"), "activation", "get_activation")
    return {None: nn.Identity, "ReLU": nn.ReLU, "Abs": _Abs}[activation]()


class _Abs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()
