"""Input of the multipliers: fetch from data memory, pooling, element-wise operators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE
from ai8x_tool.virtual.data_memory import LANES, UNDEFINED, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer, Kind
from ai8x_tool.virtual.scan_order import NEVER, last_reads

Array = npt.NDArray[Any]

_SIDES = [0, 2, 3, 5, 6, 8]
"""Taps of a 3×3 kernel outside its middle column."""
_FUNCTIONS = {"sub": np.subtract, "add": np.add, "or": np.bitwise_or, "xor": np.bitwise_xor}


@dataclass(frozen=True, eq=False)
class Reading:
    """The input bytes of a layer: index arrays that broadcast to (operands, passes, processors, rows, columns).

    `word` ascends along every axis. `weights` are those of the layer, None for layers that use all input; `origin` are
    the origins of the bytes that were read, in the full shape.
    """

    layer: HardwareLayer
    instance: Array
    word: Array
    lane: Array
    weights: Array | None
    origin: Array

    @property
    def place(self) -> tuple[Array, Array, Array]:
        """Index arrays (instance, word, lane) of all bytes."""
        return self.instance, self.word, self.lane

    @property
    def words(self) -> tuple[int, int]:
        """First and last word that is read."""
        return int(self.word.flat[0]), int(self.word.flat[-1])

    @cached_property
    def matters(self) -> Array:
        """(passes, processors) of bool: False where no kernel uses the data."""
        if self.weights is None:
            return np.ones(self.origin.shape[1:3], bool)
        axes = (0, 3) if self.layer.kind is not Kind.DEPTHWISE else (2,)
        return np.asarray(self.weights.any(axis=axes))

    @cached_property
    def needed(self) -> Array:
        """Mask of the bytes that are part of a window and used by a kernel, in the full shape."""
        held = self.matters[:, :, None, None] & (last_reads(self.layer) > NEVER)
        return np.broadcast_to(held, self.origin.shape) & ~self._beyond

    @property
    def _beyond(self) -> Array:
        """Mask of the bytes that follow the data of a widely dilated 1D convolution.

        It is programmed as a 3×3 convolution of which only the middle column is used, on data folded into rows of one
        dilation each. The last row is as long as the others, whatever memory contains there.
        """
        beyond = np.zeros(self.origin.shape, bool)
        folded = self.layer.geometry.kernel == (3, 3) and self.weights is not None
        if folded and not self.weights[..., _SIDES].any():  # type: ignore[index]
            last = self.origin[..., -1, :]
            beyond[..., -1, :] = np.logical_or.accumulate(last != last[..., :1], axis=-1)
        return beyond


def read_input(
    layer: HardwareLayer, memory: DataMemory, pointer: int, weights: Array | None, diagnostics: Diagnostics
) -> tuple[Array, Reading]:
    """Return the layer's input, pooled, combined and with zeros inserted, and the reading.

    The input is (passes, processors, rows, columns) of int8. `pointer` is the first word.
    """
    values, reading = _fetch(layer, memory, pointer, weights, diagnostics)
    operation = layer.operation
    if operation.operands > 1 and operation.pool and not operation.pool_first:
        x = _pool(layer, _combine(layer, values))
    else:
        x = _combine(layer, _pool(layer, values))
    return _insert_zeros(x) if layer.transposed else x, reading


def _positions(layer: HardwareLayer, axis: int) -> Array:
    """Return the input rows or columns that are read: all that windows cover, or one for each output."""
    geometry = layer.geometry
    if layer.operation.pool:
        return np.arange(geometry.reach[axis])
    return np.arange(geometry.pooled[axis]) * geometry.stride


def _places(layer: HardwareLayer, pointer: int) -> tuple[Array, Array, Array]:
    """Return (instance, word, lane) of the raw input.

    The words are ordered by row, column, pass and operand; or each word contains four pixels of a channel (CHW).
    """
    geometry, operands = layer.geometry, layer.operation.operands
    pixels = _positions(layer, 0)[:, None] * geometry.columns + _positions(layer, 1)
    instance = (layer.processors // PROCESSORS_PER_INSTANCE)[:, None, None]
    if layer.chw:
        # This format has one pass and one operand; additional ones, set by mistake, read the same data.
        shape = (operands, geometry.passes, 1, *pixels.shape)
        place = LANES * pointer + pixels
        return instance, np.broadcast_to(place // LANES, shape), place[None] % LANES
    inside = np.arange(geometry.passes) * operands + np.arange(operands)[:, None]
    word = (pointer + inside[..., None, None] + pixels * geometry.pitch)[:, :, None]
    return instance, word, (layer.processors % PROCESSORS_PER_INSTANCE)[:, None, None]


def _fetch(
    layer: HardwareLayer, memory: DataMemory, pointer: int, weights: Array | None, diagnostics: Diagnostics
) -> tuple[Array, Reading]:
    """Return the raw input as (operands, passes, processors, rows, columns) of int8, and the reading."""
    instance, word, lane = _places(layer, pointer)
    beyond = None
    if int(word.flat[-1]) >= memory.size:
        beyond = word >= memory.size
        diagnostics.report(
            "error",
            f"input is read up to word {int(word.max()):#x} of an instance, which has {memory.size:#x} words",
            layer=layer.index,
            register="RPTR",
        )
        word = np.minimum(word, memory.size - 1)
    values, origin = memory.fetch(instance, word, lane)
    if beyond is not None:
        values, origin = np.where(beyond, np.int8(0), values), np.where(beyond, UNDEFINED, origin)
    return values, Reading(layer, instance, word, lane, weights, origin)


def _pool(layer: HardwareLayer, x: Array) -> Array:
    """Return `x` pooled along the last two axes."""
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
    """Return the operands (first axis) combined from left to right and clamped once."""
    if layer.operation.operands == 1:
        return x[0]
    combine = _FUNCTIONS[layer.operation.function]
    return np.clip(reduce(combine, x.astype(np.int32)), -128, 127).astype(np.int8)


def _insert_zeros(x: Array) -> Array:
    """Return `x` with rows and columns doubled: its elements at even positions, zeros elsewhere."""
    y = np.zeros((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]), np.int8)
    y[:, :, ::2, ::2] = x
    return y
