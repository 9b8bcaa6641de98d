"""From data memory to what the multipliers see: fetch, pooling, element-wise operators. spec: execution, section 5."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE, PROCESSORS_PER_QUADRANT
from ai8x_tool.virtual.data_memory import HOST, UNDEFINED, DataMemory
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
    instances = (layer.processors // PROCESSORS_PER_INSTANCE)[:, None, None]
    if layer.chw:
        # With this format there is one pass and one operand; others, by mistake, see the same.
        shape = (operands, geometry.passes, 1, *pixels.shape)
        word = np.broadcast_to((4 * pointer + pixels) // 4, shape)
        lanes = (4 * pointer + pixels) % 4
    else:
        inside = np.arange(geometry.passes) * operands + np.arange(operands)[:, None]
        word = (pointer + inside[..., None, None] + pixels * geometry.pitch)[:, :, None]
        lanes = (layer.processors % PROCESSORS_PER_INSTANCE)[:, None, None]
    beyond = word >= memory.size
    if beyond.any():
        diagnostics.report(
            "error",
            f"input is read up to word {int(word.max()):#x} of an instance, which has {memory.size:#x}",
            layer=layer.index,
            register="RPTR",
        )
        word = np.where(beyond, 0, word)
    values, origin = memory.fetch(instances, word, lanes)
    if beyond.any():
        values, origin = np.where(beyond, np.int8(0), values), np.where(beyond, UNDEFINED, origin)
    _check_defined(layer, origin, matters, diagnostics)
    _check_mixed(layer, memory.clobbered[instances, word, lanes], origin, matters, diagnostics)
    return values


def _check_defined(layer: HardwareLayer, origin: Array, matters: Array, diagnostics: Diagnostics) -> None:
    """Report bytes that nobody wrote. spec: execution, section 12."""
    undefined = origin == UNDEFINED
    if not undefined.any():
        return
    planes = undefined.any(axis=(0, 3, 4)) & matters
    if not planes.any():
        return
    step, rank = np.argwhere(planes)[0].tolist()
    plane = undefined[:, step, rank]
    processor = int(layer.processors[rank])
    # Kernels of dilated 1D convolutions look at zero weights behind the data.
    severe = not layer.resets and (plane.all() or layer.kind is Kind.PASSTHROUGH)
    diagnostics.report(
        "warning" if severe else "note",
        f"processor {processor}, pass {step}: {int(plane.sum())} of {plane.size} input bytes were never written",
        layer=layer.index,
        quadrant=processor // PROCESSORS_PER_QUADRANT,
        register="RPTR",
    )


def _check_mixed(
    layer: HardwareLayer,
    clobbered: Array,
    origin: Array,
    matters: Array,
    diagnostics: Diagnostics,
) -> None:
    """Report input planes in which a layer replaced data that nothing had read: they were needed here."""
    low = np.where(origin == UNDEFINED, np.iinfo(origin.dtype).max, origin).min(axis=(3, 4))
    high = origin.max(axis=(3, 4))
    mixed = (high > low).any(axis=0) & matters
    if not mixed.any():
        return
    step, rank = np.argwhere(mixed)[0].tolist()
    writers = sorted(set(np.unique(origin[:, step, rank]).tolist()) - {UNDEFINED})
    names = " and ".join("the host" if writer == HOST else f"layer {writer}" for writer in writers)
    replaced = (clobbered & mixed[:, :, None, None]).any()
    processor = int(layer.processors[rank])
    diagnostics.report(
        "warning" if replaced else "note",
        f"processor {processor}, pass {step}: the input was written by {names}"
        + (", the later of which replaced data that nothing had read" if replaced else ""),
        layer=layer.index,
        quadrant=processor // PROCESSORS_PER_QUADRANT,
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
