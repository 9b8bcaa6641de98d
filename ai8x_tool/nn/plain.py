"""Conversion of a model to standard operators with constant parameters, for other programs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import EXACT_FLOAT32, FusedModule
from ai8x_tool.nn.pooling import Pooling
from ai8x_tool.nn.quantizers import ACTIVATION_HIGH, ACTIVATION_LOW, HALF_STEP, WIDE_HIGH, WIDE_LOW

_BASES = (256, 16, 8, 4, 2)


def plain_model(model: nn.Module, *, simplified: bool = False) -> nn.Module:
    """Return an equivalent of `model`, on the CPU and in evaluation mode, that consists of standard operators.

    Quantized weights and output shifts are constants. With `simplified`, data are not rounded: the model consists of
    common network operators, and its outputs differ by a few steps. It still saturates, because trained networks rely
    on that (without saturation, one MNIST digit in sixty changes its class).
    """
    result = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    result._forward_pre_hooks.clear()  # independent of the memory format
    replaced: dict[int, nn.Module] = {}
    for name, module in list(result.named_modules(remove_duplicate=False)):
        if id(module) not in replaced:
            if isinstance(module, FusedModule):
                replaced[id(module)] = PlainLayer(module, simplified)
            elif isinstance(module, Elementwise):
                replaced[id(module)] = PlainElementwise(module)
            else:
                continue
        parent, _, attribute = name.rpartition(".")
        setattr(result.get_submodule(parent), attribute, replaced[id(module)])
    return result


class PlainElementwise(nn.Module):
    """An element-wise operator and its saturation."""

    def __init__(self, source: Elementwise) -> None:
        super().__init__()
        self._source = source
        limits = (-128.0, 127.0) if source.simulate else (ACTIVATION_LOW, ACTIVATION_HIGH)
        self._limits = limits if source.clamps else (-math.inf, math.inf)

    def forward(self, *operands: Tensor) -> Tensor:
        """Return the combination of tensors of the same shape."""
        return torch.clamp(self._source.combine(*operands), *self._limits)


class PlainLayer(nn.Module):
    """Pooling, operator, batch normalization and activation of a fused module.

    If sums of integers may be inexact in float32, the weights are split into digits, whose results are added in
    float64, because runtimes only support convolutions in float32.
    """

    _late_bias: Tensor | None

    def __init__(self, source: FusedModule, simplified: bool) -> None:
        super().__init__()
        self._simulate, self._quantize, self._rounds = source.simulate, source.quantizes, not simplified
        limits = (-128.0, 127.0) if source.simulate else (ACTIVATION_LOW, ACTIVATION_HIGH)
        self._low, self._high = limits if source.clamps else (-math.inf, math.inf)
        self._wide_limits = (WIDE_LOW, WIDE_HIGH) if source.clamps else (-math.inf, math.inf)
        self._norm_factor, self._final_factor = source.batchnorm_factor, 2.0**source.final_scale_exponent
        self._pooling, self._nearest = source.pooling, source.round_avg
        self._activation, self.wide = source.activation, source.wide
        self._parts, self._factors = list[str](), list[float]()
        if source.op is not None:
            self._take_parameters(source, source.op)

    def _take_parameters(self, source: FusedModule, op: nn.Module) -> None:
        weight, bias, exponent, self._half_step = source.constant_parameters()
        self._factor = 2.0 ** (source.simulate_exponent if self._simulate else exponent)
        self.bn = source.bn
        assert source.op is not None
        if self._half_step and not self._rounds:
            assert bias is not None
            bias = bias - HALF_STEP
        exact = self._simulate and weight.dtype == torch.float64 and self._rounds
        pieces = list(_digits(source, weight)) if exact else [(weight, 1.0)]
        for piece, factor in pieces:
            part = copy.deepcopy(op)
            part.weight = nn.Parameter(piece.float(), requires_grad=False)
            part.register_parameter(
                "bias", None if bias is None or exact else nn.Parameter(bias.float(), requires_grad=False)
            )
            self._parts.append(f"op{len(self._parts) or ''}")
            self._factors.append(factor)
            self.add_module(self._parts[-1], part)
        late = bias.double().view(-1, *(1,) * (weight.dim() - 2)) if exact and bias is not None else None
        self.register_buffer("_late_bias", late)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the fused module returns in evaluation mode, for (B, C, L), (B, C, H, W) or (B, features)."""
        if self._pooling is not None:
            x = self._pool(self._pooling, x)
        if not self._parts:
            return x
        y = self._compute(x)
        return y if self._final_factor == 1 else y * self._final_factor

    def _compute(self, x: Tensor) -> Tensor:
        z = self._operate(x)
        if self.bn is not None:
            z = self.bn(z) * self._norm_factor
        z = z * self._factor if self._factor != 1 and not (self._simulate and self.wide) else z
        if self.wide:
            return self._finish_wide(z)
        if not (self._quantize and self._rounds):
            return self._clip(z)
        return self._finish_simulate(z) if self._simulate else self._finish_qat(z)

    def _operate(self, x: Tensor) -> Tensor:
        parts = [getattr(self, name) for name in self._parts]
        if len(parts) == 1 and self._late_bias is None:
            return parts[0](x)
        sums = [part(x).double() * factor for part, factor in zip(parts, self._factors, strict=True)]
        total = torch.stack(sums).sum(0) if len(sums) > 1 else sums[0]
        return total if self._late_bias is None else total + self._late_bias

    def _clip(self, z: Tensor) -> Tensor:
        z = z.abs() if self._activation == "Abs" else z
        return z.clamp(0.0 if self._activation == "ReLU" else self._low, self._high)

    def _finish_wide(self, z: Tensor) -> Tensor:
        if self._simulate:
            return z.clamp(-(2.0**29), 2.0**29 - 1)
        z = torch.floor(z * 2.0**14 + 0.5) * 2.0**-14 if self._quantize and self._rounds else z
        return z.clamp(*self._wide_limits)

    def _finish_qat(self, z: Tensor) -> Tensor:
        z = z.abs() if self._activation == "Abs" else z
        z = z if self._half_step else z + HALF_STEP
        return torch.floor(z * 128.0).clamp(0.0 if self._activation == "ReLU" else -128.0, 127.0) * (1 / 128)

    def _finish_simulate(self, accumulator: Tensor) -> Tensor:
        z = torch.floor(accumulator + 0.5)
        z = z.clamp(self._low, self._high) if self._activation == "Abs" else z  # −128 becomes 127
        return self._clip(z).float()

    def _pool(self, pooling: Pooling, x: Tensor) -> Tensor:
        flat = len(pooling.size) == 1
        if pooling.kind == "Max":
            pool = F.max_pool1d if flat else F.max_pool2d
            return pool(x, pooling.size, pooling.stride, 0, pooling.dilation)
        mean = F.avg_pool1d(x, pooling.size, pooling.stride) if flat else F.avg_pool2d(x, pooling.size, pooling.stride)
        if not (self._quantize and self._rounds):
            return mean.clamp(self._low, self._high)
        # The sum of the window is an integer: rounding removes the error of the mean.
        count, steps = math.prod(pooling.size), 1.0 if self._simulate else 128.0
        units = torch.round(mean * (count * steps)) / count
        average = torch.round(units) if self._nearest else torch.sign(units) * torch.floor(units.abs())
        return (average * (1 / steps)).clamp(self._low, self._high)


def _digits(source: FusedModule, weight: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Yield the fewest digits of integer weights, with their factors, whose sums of products are exact in float32."""
    for base in _BASES:
        digits = list(_in_base(weight, base))
        if all(float(source.channel_sums(digit.abs()).max()) * 128 < EXACT_FLOAT32 for digit, _ in digits):
            break
    yield from digits


def _in_base(weight: Tensor, base: int) -> Iterator[tuple[Tensor, float]]:
    factor = 1.0
    while True:
        higher = torch.floor(weight / base + 0.5)
        yield weight - higher * base, factor
        weight, factor = higher, factor * base
        if not weight.any():
            return
