"""Modules without weights: element-wise operators, the no-op, dropout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.nn.context import BuildContext, resolve_context
from ai8x_tool.nn.fused import scalar_parameter
from ai8x_tool.nn.quantizers import ACTIVATION_HIGH, ACTIVATION_LOW, clamp


class Elementwise(nn.Module, ABC):
    """Combines any number of tensors of the same shape from left to right and clamps the result once.

    With measured ranges, clamping starts with QAT (`clamps`), and ``activation_threshold`` stores the exponent of the
    operands' range.
    """

    def __init__(self, *, context: BuildContext | None = None) -> None:
        super().__init__()
        build = resolve_context(context, type(self).__name__)
        self.simulate, self.measured_ranges = build.simulate, build.measured_ranges
        self.clamps = build.simulate or not build.measured_ranges
        if build.measured_ranges:
            self.activation_threshold = scalar_parameter()

    def forward(self, *operands: Tensor) -> Tensor:
        """Return the clamped combination of `operands`."""
        result = self.combine(*operands)
        if not self.clamps:
            return result
        return result.clamp(-128, 127) if self.simulate else clamp(result, ACTIVATION_LOW, ACTIVATION_HIGH)

    def combine(self, *operands: Tensor) -> Tensor:
        """Return the combination of `operands` without clamping."""
        result = operands[0]
        for operand in operands[1:]:
            result = self._combine(result, operand)
        return result

    @abstractmethod
    def _combine(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the combination of two operands without clamping."""


class Add(Elementwise):
    """Saturating sum of two or more tensors."""

    def _combine(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class Sub(Elementwise):
    """First tensor minus all others, saturated."""

    def _combine(self, left: Tensor, right: Tensor) -> Tensor:
        return left - right


class _Bitwise(Elementwise):
    """Base of bitwise operators on two's-complement integers; in training every operand receives the full gradient."""

    def _combine(self, left: Tensor, right: Tensor) -> Tensor:
        steps = 1 if self.simulate else 128
        with torch.no_grad():
            integers = self._bits((left * steps).round().to(torch.int32), (right * steps).round().to(torch.int32))
            exact = integers.to(left.dtype) / steps
        if not (left.requires_grad or right.requires_grad):
            return exact
        through = left + right
        return through + (exact - through).detach()

    @abstractmethod
    def _bits(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the combined integers of two operands."""


class BitwiseXor(_Bitwise):
    """Bitwise exclusive OR of the integers of two or more tensors."""

    def _bits(self, left: Tensor, right: Tensor) -> Tensor:
        return left ^ right


class BitwiseOr(_Bitwise):
    """Bitwise OR of the integers of two or more tensors."""

    def _bits(self, left: Tensor, right: Tensor) -> Tensor:
        return left | right


class Empty(nn.Module):
    """Identity in place of an optional layer; all arguments are ignored."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x


class Dropout(nn.Module):
    """Dropout with 16-bit random numbers, on a CPU several times faster than PyTorch's; p is rounded to 1/65536."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout probability must be at least 0 and below 1, not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, in training with a fraction p of its elements set to 0 and the others divided by 1 − p."""
        if not self.training or self.p == 0:
            return x
        kept = (self._numbers(x) >= round(self.p * 65536) - 32768).to(x.dtype)
        return x * kept.mul_(1 / (1 - self.p))

    @staticmethod
    def _numbers(x: Tensor) -> Tensor:
        """Return 16-bit random numbers, four per generated word, with the memory layout of `x`."""
        count = x.numel()
        words = torch.empty((count + 3) // 4, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        numbers = words.view(torch.int16)[:count]
        reach = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
        return numbers.as_strided(x.shape, x.stride()) if reach == count else numbers.view(x.shape)

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"p={self.p}"
