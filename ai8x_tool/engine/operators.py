"""Integer operators on tensors of shape (channels, batch, rows, columns)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.network.layer import Activation, Pair

Array = npt.NDArray[Any]

_FLOAT32_EXACT = 1 << 24
"""Sums below this are exact in float32, whatever the order of addition; float64 is exact for all others."""

_PATCH_VALUES = 1 << 22
"""Values multiplied at a time: large enough for an efficient matrix product, small enough for memory."""


def saturate(values: Array) -> Array:
    """Return `values` clamped to −128…127, as int8."""
    return np.clip(values, -128, 127).astype(np.int8)


def eltwise(function: str, operands: list[Array]) -> Array:
    """Return the operands combined from left to right, saturated once, after the last; `function` is add/sub/or/xor."""
    functions = {"add": np.add, "sub": np.subtract, "or": np.bitwise_or, "xor": np.bitwise_xor}
    return saturate(reduce(functions[function], [x.astype(np.int32) for x in operands]))


def pool(x: Array, size: Pair, stride: Pair, dilation: Pair, out: Pair, *, average: bool, rounding: bool) -> Array:
    """Return `x` pooled in windows of `size`: (channels, batch, *out), maxima or, with `average`, means.

    Means are truncated towards zero or, with `rounding`, rounded half away from zero.
    Raises ValueError if the last window reaches beyond the data.
    """
    combine = np.add if average else np.maximum
    y: Array = x.astype(np.int32) if average else x
    for axis in (0, 1):
        last = (out[axis] - 1) * stride[axis] + (size[axis] - 1) * dilation[axis]
        if last >= x.shape[2 + axis]:
            exceeded = ("rows", "columns")[axis]
            raise ValueError(f"a pooling window exceeds the {exceeded} of the data by {last + 1 - x.shape[2 + axis]}")
        taps = [_strided(y, axis, u * dilation[axis], stride[axis], out[axis]) for u in range(size[axis])]
        y = reduce(combine, taps)
    window = size[0] * size[1]
    if not average or window == 1:
        return y
    magnitude = np.abs(y)
    mean = (2 * magnitude + window) // (2 * window) if rounding else magnitude // window
    return (np.sign(y) * mean).astype(np.int8)


def _strided(x: Array, axis: int, start: int, stride: int, count: int) -> Array:
    index: list[slice] = [slice(None)] * x.ndim
    index[2 + axis] = slice(start, start + (count - 1) * stride + 1, stride)
    return x[tuple(index)]


def insert_zeros(x: Array) -> Array:
    """Return `x` with a zero between neighboring elements of both axes (fractional stride 2)."""
    y = np.zeros((*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1), x.dtype)
    y[:, :, ::2, ::2] = x
    return y


def pad_zeros(x: Array, before: Pair, after: Pair) -> Array:
    """Return `x` with rows and columns padded with zeros."""
    if before == after == (0, 0):
        return x
    return np.pad(x, ((0, 0), (0, 0), (before[0], after[0]), (before[1], after[1])))


def convolve(x: Array, weights: Array, dilation: Pair, *, depthwise: bool) -> Array:
    """Return exact int64 sums: padded input cross-correlated with `weights` (out, in/groups, rows, columns)."""
    rows = x.shape[2] - dilation[0] * (weights.shape[2] - 1)
    columns = x.shape[3] - dilation[1] * (weights.shape[3] - 1)
    peak = max(128, int(np.abs(x.astype(np.int64)).max(initial=0))) if x.dtype != np.int8 else 128
    bound = int(np.abs(weights).sum(axis=(1, 2, 3)).max(initial=0)) * peak
    kind = np.float32 if bound < _FLOAT32_EXACT else np.float64
    data, kernels = x.astype(kind), weights.astype(kind)
    total = np.zeros((weights.shape[0], x.shape[1], rows, columns), kind)
    if depthwise:
        for (u, v), tap in _taps(data, weights.shape[2:], dilation, slice(0, rows), columns):
            total += tap * kernels[:, 0, u, v].reshape(-1, 1, 1, 1)
        return total.astype(np.int64)
    flat = kernels.transpose(0, 2, 3, 1).reshape(len(kernels), -1)
    per_row = max(1, flat.shape[1] * x.shape[1] * columns)
    step = max(1, _PATCH_VALUES // per_row)
    for first in range(0, rows, step):
        part = slice(first, min(first + step, rows))
        taps = [tap for _, tap in _taps(data, weights.shape[2:], dilation, part, columns)]
        patches = np.concatenate(taps).reshape(flat.shape[1], -1)
        total[:, :, part] = (flat @ patches).reshape(len(flat), x.shape[1], -1, columns)
    return total.astype(np.int64)


def _taps(
    x: Array, kernel: tuple[int, ...], dilation: Pair, rows: slice, columns: int
) -> Iterator[tuple[tuple[int, int], Array]]:
    """Yield each tap's position and the input that it multiplies, for some output rows."""
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            i, j = u * dilation[0], v * dilation[1]
            yield (u, v), x[:, :, rows.start + i : rows.stop + i, j : j + columns]


def reduce_to_8_bits(total: Array, shift: int, activation: Activation) -> Array:
    """Return int8: `total` times 2^(shift − 7), rounded half up, saturated to −128 … 127, then activated."""
    right = 7 - shift
    y = (total + (1 << (right - 1))) >> right if right > 0 else total << -right
    y = np.clip(y, -128, 127)
    if activation == "relu":
        y = np.maximum(y, 0)
    elif activation == "abs":
        y = np.minimum(np.abs(y), 127)
    return y.astype(np.int8)
