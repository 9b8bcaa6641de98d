"""Arithmetic of a layer: sums, bias, shift, activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT
from ai8x_tool.virtual.bias_memory import BiasMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer

Array = npt.NDArray[Any]

_FLOAT32_EXACT = 1 << 24
"""Sums below this are exact in float32, whatever the order of addition; float64 is exact for all others."""

_UNTHREADED = 1 << 18
"""Multiplications in a product of matrices below which BLAS libraries start no threads.

Most layers are only a few times as large: starting threads takes longer than they save, above all where several
processes share the cores.
"""
_PARALLEL = 4


def _padded(layer: HardwareLayer, x: Array) -> tuple[Array, int, int]:
    """Return the zero-padded input, and the rows and columns of the output."""
    (rows, columns), (kernel_rows, kernel_columns) = layer.geometry.pad, layer.geometry.kernel
    if rows or columns:
        padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * rows, x.shape[3] + 2 * columns), x.dtype)
        padded[:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]] = x
        x = padded
    return x, x.shape[2] - kernel_rows + 1, x.shape[3] - kernel_columns + 1


def _exact_type(weights: Array, axes: tuple[int, ...]) -> type[np.float32 | np.float64]:
    bound = 128 * int(np.abs(weights.astype(np.int16)).sum(axis=axes, dtype=np.int64).max(initial=0))
    return np.float32 if bound < _FLOAT32_EXACT else np.float64


def tap_matrices(weights: Array) -> dict[int, Array]:
    """Return the taps of `weights` (outputs, passes, processors, taps) that are not all 0, as matrices of floats.

    Each is (outputs, passes · processors), of a type in which all sums are exact.
    """
    kind = _exact_type(weights, (1, 2, 3))
    taps = weights.reshape(len(weights), -1, weights.shape[3]).transpose(2, 0, 1)
    return {tap: kernels.astype(kind) for tap, kernels in enumerate(taps) if kernels.any()}


def convolve(layer: HardwareLayer, x: Array, outputs: int, taps: dict[int, Array]) -> Array:
    """Return the sums (outputs, rows, columns), int64, of `x` (passes, processors, rows, columns).

    `taps` are those of :func:`tap_matrices`.
    """
    x, rows, columns = _padded(layer, x)
    kind = next((kernels.dtype for kernels in taps.values()), np.dtype(np.float32))
    data = x.reshape(-1, *x.shape[2:]).astype(kind)
    total: Array = np.zeros((outputs, rows * columns), kind)
    step = _UNTHREADED // max(1, len(data) * rows * columns) or outputs
    for tap, kernels in taps.items():
        i, j = divmod(tap, layer.geometry.kernel[1])
        part = np.ascontiguousarray(data[:, i : i + rows, j : j + columns]).reshape(len(data), -1)
        for first in range(0, outputs, step):
            total[first : first + step] += kernels[first : first + step] @ part
    return total.astype(np.int64).reshape(outputs, rows, columns)


def convolve_each(layer: HardwareLayer, x: Array, weights: Array) -> Array:
    """Return depthwise sums (passes, processors, rows, columns); `weights` is (passes, processors, taps)."""
    x, rows, columns = _padded(layer, x)
    total = np.zeros((*x.shape[:2], rows, columns), np.int32)
    for tap in range(weights.shape[2]):
        i, j = divmod(tap, layer.geometry.kernel[1])
        part = x[:, :, i : i + rows, j : j + columns].astype(np.int32)
        total += weights[:, :, tap, None, None] * part
    return total.astype(np.int64)


def output_bias(
    layer: HardwareLayer, memory: BiasMemory, used: Array, nonzero: Array, late: int, diagnostics: Diagnostics
) -> Array:
    """Return 128 times the bias of each output, summed over quadrants.

    `used` marks the outputs whose kernels were stored, `nonzero` those with a weight other than 0 (an unused output may
    share its last column with a used one). `late` is added to the index of the bias entry: 1 for the streaming start
    layer of the MAX78000.
    """
    total = np.zeros(len(used), np.int64)
    number = np.arange(len(used))
    lanes = np.flatnonzero(used)
    if layer.bias and len(lanes) and len(lanes) <= lanes[-1] - lanes[0]:
        gap = int(lanes[0]) + int((~used[lanes[0] :]).argmax())
        text = f"outputs from {gap} on have no kernels: it is unknown whether their bias entries are skipped, too"
        diagnostics.report("warning", text, layer=layer.index, register="POST")
    for quadrant, offset in layer.bias.items():
        concerned = used & nonzero
        if layer.kernels.quad:
            entries = offset + number // _PARALLEL
            concerned &= number % _PARALLEL == quadrant
        elif layer.kernels.four_instances:
            entries = _PARALLEL * offset + number
        else:
            entries = offset + late + number
        values, loaded = memory.fetch(quadrant, entries)
        if layer.kernels.quad:
            values = np.where(number % _PARALLEL == quadrant, values, 0)
        _check(layer, quadrant, entries, concerned & ~loaded, diagnostics)
        total += 128 * values
    return total


def processor_bias(layer: HardwareLayer, memory: BiasMemory, used: Array, diagnostics: Diagnostics) -> Array:
    """Return 128 times the bias (passes, processors) of a depthwise layer.

    `used`, of the same shape, is False for processors without a channel in that pass.
    """
    total = np.zeros((layer.passes, len(layer.processors)), np.int64)
    steps = np.arange(layer.passes)[:, None]
    position = layer.processors % PROCESSORS_PER_QUADRANT
    quadrant_of = layer.processors // PROCESSORS_PER_QUADRANT
    for quadrant, offset in layer.bias.items():
        own = quadrant_of == quadrant
        if layer.write.broadcast:
            entries = 4 * offset + 16 * steps + 4 * (position % 4) + position // 4
        else:
            entries = offset + steps * _bias_length(layer, quadrant) + position - _bias_start(layer, quadrant)
        values, loaded = memory.fetch(quadrant, entries)
        _check(layer, quadrant, entries, own & used & ~loaded, diagnostics)
        total += np.where(own, 128 * values, 0)
    return total


def _bias_start(layer: HardwareLayer, quadrant: int) -> int:
    lowest = int(layer.processors[0])
    return lowest % PROCESSORS_PER_QUADRANT if lowest // PROCESSORS_PER_QUADRANT == quadrant else 0


def _bias_length(layer: HardwareLayer, quadrant: int) -> int:
    quadrants = layer.processors // PROCESSORS_PER_QUADRANT
    if (quadrants > quadrant).any():
        return PROCESSORS_PER_QUADRANT
    own = layer.processors[quadrants == quadrant] % PROCESSORS_PER_QUADRANT
    return int((own - _bias_start(layer, quadrant)).max(initial=0)) + 1


def _check(layer: HardwareLayer, quadrant: int, entries: Array, missing: Array, diagnostics: Diagnostics) -> None:
    if missing.any():
        entry = int(np.broadcast_to(entries, missing.shape)[missing][0])
        text = f"bias entry {entry} was never stored"
        diagnostics.report("warning", text, layer=layer.index, quadrant=quadrant, register="POST")


def finish(layer: HardwareLayer, total: Array, diagnostics: Diagnostics) -> Array:
    """Return the values to be written: int8 after shift, rounding, clamping and activation, or the sums as uint32."""
    low, high = int(total.min(initial=0)), int(total.max(initial=0))
    if low < -(1 << 31) or high >= 1 << 31:
        text = f"sums {low} … {high} exceed the 32-bit range of the accumulator"
        diagnostics.report("error", text, layer=layer.index)
    if layer.write.wide:
        return (total & 0xFFFF_FFFF).astype(np.uint32)
    operation = layer.operation
    right = 7 - operation.shift
    y = (total + (1 << (right - 1))) >> right if right > 0 else total << -right
    y = np.clip(y, -128, 127)
    if operation.relu:
        y = np.maximum(y, 0)
    if operation.absolute:
        y = np.minimum(np.abs(y), 127)
    return y.astype(np.int8)
