"""Fused modules as plain formulas in NumPy and float64: slow, and easy to read.

One-dimensional data have one row here, features are channels of one pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLOAT, QAT, SIMULATE = "float", "QAT", "simulate"


@dataclass
class StraightThrough:
    """Rounding, or, once `frozen`, the addition of what it added before: its gradient is 1 then."""

    frozen: bool = False
    offsets: list[Array] = field(default_factory=list)
    calls: int = 0

    def __call__(self, function: Callable[[Array], Array], value: Array) -> Array:
        if not self.frozen:
            self.offsets.append(function(value) - value)
            return function(value)
        self.calls += 1
        return value + self.offsets[(self.calls - 1) % len(self.offsets)]


@dataclass(frozen=True)
class Parameters:
    weight: Array
    bias: Array | None = None
    gain: Array | None = None
    offset: Array | None = None

    def moved(self, direction: Parameters, step: float) -> Parameters:
        changed = {
            name: value + step * getattr(direction, name) for name, value in vars(self).items() if value is not None
        }
        return replace(self, **changed)


@dataclass(frozen=True)
class PlainModule:
    mode: str
    operator: str | None  # convolution, transposed, or None for pooling alone
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pooling: str | None = None
    window: tuple[int, int] = (1, 1)
    pool_stride: tuple[int, int] = (1, 1)
    pool_dilation: tuple[int, int] = (1, 1)
    round_average: bool = False
    activation: str | None = None
    wide: bool = False
    bits: int = 8
    quantile: float = 1.0
    stored_shift: int = 0
    batchnorm: tuple[Array, Array] | None = None  # mean and variance of the batch or of the past
    batch_statistics: bool = False
    epsilon: float = 1e-5
    measured: bool = False  # the newer scheme, with:
    range: int = 0
    final_scale: int = 0

    def forward(self, x: Array, parameters: Parameters | None, rounds: StraightThrough, shift: int = 0) -> Array:
        """Return the output; `shift` is :meth:`output_shift`, which has no gradient."""
        result = self.before_clamping(x, parameters, rounds, shift)
        return result if self.operator is None else self.clamped(result) * 2.0**self.final_scale

    def before_clamping(self, x: Array, parameters: Parameters | None, rounds: StraightThrough, shift: int) -> Array:
        if self.pooling is not None:
            x = self.pool(x, rounds)
        if self.operator is None or parameters is None:
            return x
        scale = 2.0**-shift if self.mode == QAT else 1.0
        weight = self.quantized(parameters.weight * scale, rounds, weight=True)
        bias = None if parameters.bias is None else self.quantized(parameters.bias * scale, rounds, weight=False)
        z = transposed(x, weight, self) if self.operator == "transposed" else convolved(x, weight, self)
        if bias is not None:
            z = z + channels(bias)
        if self.batchnorm is not None:
            z = self.normalized(z, parameters) / (1 if self.measured else 4)
        if self.measured and self.mode != SIMULATE:
            shift = min(max(shift - self.range, -15), 15)
        if not self.wide:
            z = rounds(np.floor, z * 2.0**shift) if self.mode == SIMULATE else z * 2.0**shift
        return self.finished(z, rounds)

    def output_shift(self, parameters: Parameters) -> int:
        if self.mode != QAT:
            return self.stored_shift
        values = [parameters.weight.ravel()] + ([] if parameters.bias is None else [parameters.bias.ravel()])
        limit = np.quantile(np.abs(np.concatenate(values)), self.quantile)
        return -min(max(math.floor(math.log2(1 / limit)), -15), 15)

    def pool(self, x: Array, rounds: StraightThrough) -> Array:
        windows = pool_windows(x, self.window, self.pool_stride, self.pool_dilation)
        if self.pooling == "Max":
            return windows.max(0)
        if self.mode == FLOAT:
            return windows.mean(0) if self.measured else limited(windows.mean(0), -1, 127 / 128)
        steps = 128 if self.mode == QAT else 1
        to_integer = np.rint if self.round_average else np.trunc
        count = len(windows)  # division of whole numbers, which is exact where the average is one
        average = rounds(lambda total: to_integer(total * steps / count) / steps * count, windows.sum(0)) / count
        return limited(average, -128 / steps, 127 / steps)

    def quantized(self, value: Array, rounds: StraightThrough, *, weight: bool) -> Array:
        levels = 2 ** (self.bits - 1)
        if self.mode == FLOAT:
            return value
        if self.mode == QAT:
            steps = rounds(lambda v: np.floor(v * levels + 0.5) / levels, value)
            return limited(steps, -1, (levels - 1) / levels)
        factor = 2 ** ((8 - self.bits) * (1 if weight else 2))
        return np.floor(value * factor + 0.5)

    def normalized(self, z: Array, parameters: Parameters) -> Array:
        assert self.batchnorm is not None
        mean, variance = self.batchnorm
        if self.batch_statistics:
            mean, variance = z.mean((0, 2, 3)), z.var((0, 2, 3))
        result = (z - channels(mean)) / np.sqrt(channels(variance) + self.epsilon)
        if parameters.gain is not None and parameters.offset is not None:
            result = result * channels(parameters.gain) + channels(parameters.offset)
        return result

    def finished(self, z: Array, rounds: StraightThrough) -> Array:
        if self.mode == SIMULATE:
            if self.wide:
                return rounds(lambda v: np.floor(v / 2 ** (8 - self.bits) + 0.5), z)
            # Rounding precedes the activation, and so does clipping, as the accelerator does: Abs differs at ties.
            return activated(limited(rounds(lambda v: np.floor(v / 128 + 0.5), z), -128, 127), self.activation)
        z = activated(z, self.activation)
        if self.mode == FLOAT:
            return z
        steps = 2**14 if self.wide else 128
        return rounds(lambda v: np.floor(v * steps + 0.5) / steps, z)

    def limits(self) -> tuple[float, float]:
        if self.mode == FLOAT and self.measured:
            return -math.inf, math.inf
        if self.mode == SIMULATE:
            return (-(2.0**29), 2.0**29 - 1) if self.wide else (-128, 127)
        return (-(2.0**15), 2.0**15 - 1) if self.wide else (-1, 127 / 128)

    def clamped(self, y: Array) -> Array:
        return limited(y, *self.limits())


def limited(value: Array, low: float, high: float) -> Array:
    return np.minimum(np.maximum(value, low), high)


def activated(z: Array, activation: str | None) -> Array:
    return np.maximum(z, 0) if activation == "ReLU" else np.abs(z) if activation == "Abs" else z


def channels(values: Array) -> Array:
    return values[None, :, None, None]


def pool_windows(x: Array, window: Any, stride: Any, dilation: Any) -> Array:
    """Return the elements of all windows, (elements of a window, B, C, H, W)."""
    rows, columns = (
        (x.shape[2 + axis] - dilation[axis] * (window[axis] - 1) - 1) // stride[axis] + 1 for axis in (0, 1)
    )
    return np.stack(
        [
            x[:, :, i * dilation[0] :, j * dilation[1] :][:, :, :: stride[0], :: stride[1]][:, :, :rows, :columns]
            for i in range(window[0])
            for j in range(window[1])
        ]
    )


def convolved(x: Array, weight: Array, module: PlainModule) -> Array:
    (top, left), step = module.padding, module.stride
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    taps_down, taps_across = weight.shape[2:]
    rows = (x.shape[2] - module.dilation[0] * (taps_down - 1) - 1) // step + 1
    columns = (x.shape[3] - module.dilation[1] * (taps_across - 1) - 1) // step + 1
    parts = []
    for inputs, kernels in zip(np.split(x, module.groups, 1), np.split(weight, module.groups, 0), strict=True):
        total = np.zeros((len(x), len(kernels), rows, columns))
        for i in range(taps_down):
            for j in range(taps_across):
                seen = inputs[:, :, i * module.dilation[0] :, j * module.dilation[1] :][:, :, ::step, ::step]
                total += np.einsum("oc,bchw->bohw", kernels[:, :, i, j], seen[:, :, :rows, :columns])
        parts.append(total)
    return np.concatenate(parts, 1)


def transposed(x: Array, weight: Array, module: PlainModule) -> Array:
    """Stride 2, output padding 1; the weight is (inputs, outputs of a group, kernel, kernel)."""
    (pad, _), taps = module.padding, weight.shape[2]
    height, width = (2 * (size - 1) + taps + 1 for size in x.shape[2:])
    parts = []
    for inputs, kernels in zip(np.split(x, module.groups, 1), np.split(weight, module.groups, 0), strict=True):
        total = np.zeros((len(x), kernels.shape[1], height, width))
        for i in range(taps):
            for j in range(taps):
                target = total[:, :, i : i + 2 * x.shape[2] : 2, j : j + 2 * x.shape[3] : 2]
                target += np.einsum("co,bchw->bohw", kernels[:, :, i, j], inputs)[
                    :, :, : target.shape[2], : target.shape[3]
                ]
        parts.append(total)
    return np.concatenate(parts, 1)[:, :, pad : height - pad, pad : width - pad]
