"""Pooling before an operator, exact in integer modes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ai8x_tool.nn.quantizers import ACTIVATION_HIGH, ACTIVATION_LOW, clamp, quantize_average


@dataclass(frozen=True)
class Pooling:
    """Kind ('Max' or 'Avg'), window size, stride and dilation; one entry per axis."""

    kind: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    def __call__(self, value: Tensor, *, quantize: bool, simulate: bool, nearest: bool, clamps: bool) -> Tensor:
        """Return pooled (B, C, L) or (B, C, H, W); with `quantize`, averages are rounded like on the accelerator.

        Without `quantize`, averages are clamped to the range of activations if `clamps`.
        """
        if self.kind == "Max":
            pool = F.max_pool1d if len(self.size) == 1 else F.max_pool2d
            return pool(value, self.size, self.stride, 0, self.dilation)
        total = self._window_sums(value)
        count = math.prod(self.size)
        if not quantize:
            return clamp(total / count, ACTIVATION_LOW, ACTIVATION_HIGH) if clamps else total / count
        if simulate:
            return quantize_average(total, count, 1.0, nearest=nearest).clamp(-128, 127)
        return clamp(quantize_average(total, count, 128.0, nearest=nearest), ACTIVATION_LOW, ACTIVATION_HIGH)

    def _window_sums(self, value: Tensor) -> Tensor:
        if len(self.size) == 2:
            return F.avg_pool2d(value, self.size, self.stride, divisor_override=1)
        size, stride = (1, *self.size), (1, *self.stride)
        return F.avg_pool2d(value.unsqueeze(-2), size, stride, divisor_override=1).squeeze(-2)
