"""Placement of results in data memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE, PROCESSORS_PER_QUADRANT, Device
from ai8x_tool.virtual.data_memory import INSTANCES, LANES, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Written:
    """Places and values that a layer writes: index arrays that broadcast to the shape of `values`.

    `lane` is None for whole words (`values` is uint32); otherwise bytes are written (`values` is int8).
    """

    instance: Array
    word: Array
    lane: Array | None
    values: Array

    @property
    def place(self) -> tuple[Array, Array, Array]:
        """Index arrays (instance, word, lane) of all bytes."""
        if self.lane is None:
            return self.instance[..., None], self.word[..., None], np.arange(LANES)
        return self.instance, self.word, self.lane


def nothing_written() -> Written:
    """Return the empty output of a layer."""
    nowhere = np.zeros(0, np.int64)
    return Written(nowhere, nowhere, nowhere, np.zeros(0, np.int8))


def _pointer(device: Device, pointer: int) -> tuple[int, int]:
    """Return (instance, word) of a data pointer."""
    return pointer >> device.write_instance_shift, pointer & ((1 << device.write_instance_shift) - 1)


def place_outputs(layer: HardwareLayer, device: Device, values: Array, master: int) -> Written:
    """Return the places of the outputs (outputs, rows, columns) of a convolution."""
    write = layer.write
    instance, word = _pointer(device, write.pointers[master])
    output = np.arange(len(values))[:, None]
    rounds, lane = output // write.span, output % write.span
    step = (4 if write.wide else 1) * write.increment
    words = word + np.arange(values[0].size) * step + rounds * write.pass_step
    instances = instance + lane // 4 * write.instance_step
    flat = values.reshape(len(values), -1)
    if write.wide:
        return Written(instances, words + lane % 4, None, flat)
    return Written(instances, words, lane % 4, flat)


def place_copies(layer: HardwareLayer, device: Device, values: Array) -> Written:
    """Return the places of the outputs (passes, processors, rows, columns) of a passthrough layer."""
    instance, lane, base = _ranked(layer, device, layer.write.slot_step)
    passes = values.shape[0]
    flat = values.reshape(passes, len(layer.processors), -1)
    pixel = np.arange(flat.shape[2]) * passes + np.arange(passes)[:, None, None]
    words = base[:, None] + pixel * layer.write.increment
    return Written(instance[:, None], words, lane[:, None], flat)


def place_depthwise(layer: HardwareLayer, device: Device, values: Array, master: int) -> Written:
    """Return the places of the outputs (passes, processors, rows, columns) of a depthwise layer."""
    write = layer.write
    if write.broadcast:
        first, word = _pointer(device, write.pointers[master])
        group = layer.processors // PROCESSORS_PER_INSTANCE
        instance = first + (group - group[0]) * write.instance_step
        lane, base = layer.processors % PROCESSORS_PER_INSTANCE, np.full(len(group), word)
    else:
        instance, lane, base = _ranked(layer, device, 1)
    flat = values.reshape(*values.shape[:2], -1)
    pixel = np.arange(flat.shape[2]) * (4 if write.wide else 1) * write.increment
    words = base[:, None] + pixel + write.pass_step * np.arange(values.shape[0])[:, None, None]
    if write.wide:
        return Written(instance[:, None], words + lane[:, None], None, flat)
    return Written(instance[:, None], words, lane[:, None], flat)


def _ranked(layer: HardwareLayer, device: Device, step: int) -> tuple[Array, Array, Array]:
    """Return (instance, lane, first word) of each processor; the processors of a quadrant are packed."""
    quadrant = layer.processors // PROCESSORS_PER_QUADRANT
    rank = np.arange(len(quadrant)) - np.searchsorted(quadrant, quadrant)
    pointers = np.array([_pointer(device, layer.write.pointers[int(q)]) for q in quadrant]).reshape(-1, 2)
    return pointers[:, 0] + rank // PROCESSORS_PER_INSTANCE * step, rank % PROCESSORS_PER_INSTANCE, pointers[:, 1]


def inside(layer: HardwareLayer, written: Written, memory: DataMemory, diagnostics: Diagnostics) -> Written:
    """Return the results that lie inside the memory; report those outside."""
    if written.values.size == 0:
        return written
    low, high = int(written.instance.min()), int(written.instance.max())
    if low < 0 or high >= INSTANCES or int(written.word.max()) >= memory.size:
        return _clipped(layer, written, memory, diagnostics)
    return written


def store(layer: HardwareLayer, written: Written, memory: DataMemory) -> None:
    """Store the output of a layer, all of which must lie inside the memory."""
    if written.lane is None:
        values = np.broadcast_to(written.values, np.broadcast_shapes(written.instance.shape, written.word.shape))
        memory.store_words(written.instance, written.word, values, layer.index)
    else:
        memory.store_bytes(written.instance, written.word, written.lane, written.values, layer.index)


def _clipped(layer: HardwareLayer, written: Written, memory: DataMemory, diagnostics: Diagnostics) -> Written:
    shape = written.values.shape
    instance, word = np.broadcast_to(written.instance, shape), np.broadcast_to(written.word, shape)
    good = (instance >= 0) & (instance < INSTANCES) & (word < memory.size)
    where = f"instance {int(instance[~good][0])}, word {int(word[~good][0]):#x}"
    diagnostics.report(
        "error",
        f"{int((~good).sum())} results are written outside data memory, the first to {where}",
        layer=layer.index,
        register="WPTR",
    )
    lane = None if written.lane is None else np.broadcast_to(written.lane, shape)[good]
    return Written(instance[good], word[good], lane, written.values[good])


def highest_word(written: Written) -> int:
    """Return the highest written word plus 1; 0 if nothing is written."""
    return int(written.word.max()) + 1 if written.values.size else 0
