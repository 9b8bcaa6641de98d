"""When a layer reads its input for the last time, and when it writes its output.

No manual states the order; this one makes all known programs right that overwrite input on purpose. A layer reads the
windows that become its pooled pixels once each, row by row, all passes and operands of a window together; what later
outputs need again is kept elsewhere. It computes output pixels row by row, all passes of a pixel one after the other,
and writes each as soon as the last window that it needs was read. Time is counted in windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.virtual.layer import HardwareLayer, Kind

Array = npt.NDArray[Any]

NEVER = -1
"""Before the first window: input that no window holds is never needed, output may not need any input."""


def last_reads(layer: HardwareLayer) -> Array:
    """Return the last window that holds each input pixel that is fetched, (rows, columns) of int; NEVER if none."""
    return _numbers(layer, _last_places(layer, 0), _last_places(layer, 1))


def write_times(layer: HardwareLayer) -> Array:
    """Return the last window that was read when each output pixel is written, (pixels,) of int."""
    if layer.kind is Kind.PASSTHROUGH:
        rows, columns = layer.geometry.pooled
        return np.arange(rows * columns)
    needed = _numbers(layer, _last_needed(layer, 0), _last_needed(layer, 1))
    return np.maximum.accumulate(needed.ravel())


def _numbers(layer: HardwareLayer, rows: Array, columns: Array) -> Array:
    """Return the numbers of the windows at `rows` and `columns`."""
    number = rows[:, None] * layer.geometry.pooled[1] + columns
    return np.where((rows[:, None] < 0) | (columns < 0), NEVER, number)


def _last_places(layer: HardwareLayer, axis: int) -> Array:
    """Return for each row (`axis` 0) or column that is fetched the last row or column of windows that holds it."""
    geometry = layer.geometry
    places = np.arange(geometry.pooled[axis])
    if not layer.operation.pool:
        return places
    held = places[:, None] * geometry.stride + np.arange(geometry.window[axis]) * geometry.dilation[axis]
    last = np.full(geometry.reach[axis], NEVER)
    np.maximum.at(last, held, places[:, None])
    return last


def _last_needed(layer: HardwareLayer, axis: int) -> Array:
    """Return for each output row (`axis` 0) or column the last row or column of windows that its kernel covers."""
    geometry = layer.geometry
    size, kernel, step = geometry.pooled[axis], geometry.kernel[axis], 2 if layer.transposed else 1
    low = np.arange(step * size + 2 * geometry.pad[axis] - kernel + 1) - geometry.pad[axis]
    # A transposed convolution finds windows in every second place only.
    first = np.maximum(-(-low // step), 0)
    last = np.minimum((low + kernel - 1) // step, size - 1)
    return np.where(last < first, NEVER, last)
