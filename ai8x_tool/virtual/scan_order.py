"""Scan order: when a layer reads each part of its input for the last time, and when it writes its output.

The order is not documented; this one is consistent with all known programs that overwrite input on purpose. A layer
reads each window of its pooled pixels once, row by row, with all passes and operands of a window together; data that
later outputs need again are kept elsewhere. It computes output pixels row by row, with all passes of a pixel in
sequence, and writes each as soon as the last window that it needs has been read. Time is counted in windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.virtual.layer import HardwareLayer, Kind

Array = npt.NDArray[Any]

NEVER = -1
"""The time before the first window: input that no window contains, and output that needs no input."""


def last_reads(layer: HardwareLayer) -> Array:
    """Return the last window that contains each fetched input pixel, (rows, columns) of int; NEVER if there is none."""
    return _numbers(layer, _last_places(layer, 0), _last_places(layer, 1))


def write_times(layer: HardwareLayer) -> Array:
    """Return for each output pixel the last window read when it is written, (pixels,) of int."""
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
    """Return for each fetched row (`axis` 0) or column the last row or column of windows that contains it."""
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
    # In a transposed convolution, only every second position is a window.
    first = np.maximum(-(-low // step), 0)
    last = np.minimum((low + kernel - 1) // step, size - 1)
    return np.where(last < first, NEVER, last)
