"""From data memory to what the multipliers see: fetch, pooling, element-wise operators. spec: execution, section 5."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.virtual.data_memory import UNDEFINED, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer, Kind

Array = npt.NDArray[Any]

_FUNCTIONS = {"sub": np.subtract, "add": np.add, "or": np.bitwise_or, "xor": np.bitwise_xor}


def read_input(
    layer: HardwareLayer, memory: DataMemory, pointer: int, matters: Array, diagnostics: Diagnostics
) -> Array:
    """Return the layer's input (passes, processors, rows, columns) as int8, pooled, combined, zeros inserted.

    `pointer` is the first word; `matters` is (passes, processors), False where no kernel looks at the data.
    """
    fetched = _fetch(layer, memory, pointer, matters, diagnostics)
    operation = layer.operation
    if operation.operands > 1 and operation.pool and not operation.pool_first:
        x = _pool(layer, _combine(layer, fetched))
    else:
        x = _combine(layer, _pool(layer, fetched))
    return _insert_zeros(x) if layer.transposed else x


def _positions(layer: HardwareLayer, axis: int) -> Array:
    """Return the input rows or columns that are read: all that a window reaches, or one for each output."""
    geometry = layer.geometry
    if layer.operation.pool:
        return np.arange(geometry.reach[axis])
    return np.arange(geometry.pooled[axis]) * geometry.stride


def _fetch(layer: HardwareLayer, memory: DataMemory, pointer: int, matters: Array, diagnostics: Diagnostics) -> Array:
    """Return raw input as (operands, passes, processors, rows, columns) of int8. spec: execution, section 5.1."""
    geometry, operands = layer.geometry, layer.operation.operands
    rows, columns = _positions(layer, 0), _positions(layer, 1)
    pixels = rows[:, None] * geometry.columns + columns
    instance, lane = layer.processors // 4, layer.processors % 4
    if layer.chw:
        place = 4 * pointer + pixels
        word = np.broadcast_to(place // 4, (1, 1, 1, *pixels.shape))
        lanes = np.broadcast_to(place % 4, word.shape)
        instances = instance[:, None, None]
    else:
        inside = np.arange(geometry.passes)[None] * operands + np.arange(operands)[:, None]
        word = (pointer + inside[..., None, None] + pixels * geometry.pitch)[:, :, None]
        lanes = lane[:, None, None]
        instances = instance[:, None, None]
    beyond = word >= memory.size
    if beyond.any():
        diagnostics.report(
            "error",
            f"input is read up to word {int(word.max()):#x} of an instance, which has {memory.size:#x}",
            layer=layer.index,
            register="RPTR",
        )
        word = np.where(beyond, 0, word)
    values = memory.lanes[instances, word, lanes]
    values = np.where(beyond, np.int8(0), values) if beyond.any() else values
    _check_origins(layer, memory.origin[instances, word, lanes], matters, diagnostics)
    return values


def _check_origins(layer: HardwareLayer, origin: Array, matters: Array, diagnostics: Diagnostics) -> None:
    """Report bytes that nobody wrote, and planes with data of several layers. spec: execution, section 12."""
    undefined = (origin == UNDEFINED).any(axis=(0, 3, 4)) & matters
    if undefined.any():
        step, rank = np.argwhere(undefined)[0]
        count = int((origin[:, step, rank] == UNDEFINED).sum())
        processor = int(layer.processors[rank])
        wholly = count == origin[:, step, rank].size
        diagnostics.report(
            "warning" if wholly or layer.kind is Kind.PASSTHROUGH else "note",
            f"processor {processor}, pass {step}: {count} of {origin[:, step, rank].size} input bytes were never written",
            layer=layer.index,
            quadrant=processor // 16,
            register="RPTR",
        )
    known = np.where(origin == UNDEFINED, origin.max(axis=(3, 4), keepdims=True), origin)
    mixed = (known.max(axis=(3, 4)) != known.min(axis=(3, 4))).any(axis=0) & matters
    if mixed.any():
        step, rank = np.argwhere(mixed)[0]
        writers = sorted({int(x) for x in np.unique(known[:, step, rank])} - {UNDEFINED})
        names = ", ".join("the host" if x < 0 else f"layer {x}" for x in writers)
        diagnostics.report(
            "note",
            f"processor {int(layer.processors[rank])}, pass {step}: the input was written by {names}",
            layer=layer.index,
            register="RPTR",
        )


def _pool(layer: HardwareLayer, x: Array) -> Array:
    """Pool the two last axes. spec: execution, section 5.2."""
    operation, geometry = layer.operation, layer.geometry
    if not operation.pool:
        return x
    combine = np.maximum if operation.maximum else np.add
    y = x if operation.maximum else x.astype(np.int32)
    for axis in (0, 1):
        count, stride = geometry.pooled[axis], geometry.stride
        starts = (tap * geometry.dilation[axis] for tap in range(geometry.window[axis]))
        parts = [_strided(y, axis, start, stride, count) for start in starts]
        y = reduce(combine, parts)
    if operation.maximum:
        return y
    window = geometry.window[0] * geometry.window[1]
    magnitude = np.abs(y)
    mean = (2 * magnitude + window) // (2 * window) if operation.rounding else magnitude // window
    return (np.sign(y) * mean).astype(np.int8)


def _strided(x: Array, axis: int, start: int, stride: int, count: int) -> Array:
    index: list[Any] = [slice(None)] * x.ndim
    index[x.ndim - 2 + axis] = slice(start, start + (count - 1) * stride + 1, stride)
    return x[tuple(index)]


def _combine(layer: HardwareLayer, x: Array) -> Array:
    """Combine operands (first axis) from left to right, clamp once. spec: execution, section 5.3."""
    if layer.operation.operands == 1:
        return x[0]
    combine = _FUNCTIONS[layer.operation.function]
    return np.clip(reduce(combine, x.astype(np.int32)), -128, 127).astype(np.int8)


def _insert_zeros(x: Array) -> Array:
    """Double rows and columns; elements go to even places. spec: execution, section 5.4."""
    y = np.zeros((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]), np.int8)
    y[:, :, ::2, ::2] = x
    return y
