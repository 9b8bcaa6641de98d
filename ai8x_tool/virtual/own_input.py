"""Check of layers that overwrite their own input: words must not change before their last read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE
from ai8x_tool.virtual.data_memory import INSTANCES, LANES, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer
from ai8x_tool.virtual.read_side import Reading
from ai8x_tool.virtual.scan_order import NEVER, last_reads, write_times
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Stores to words that the layer reads, one per row: place, output pixel, and changed bytes.

    `needed` (stores, 4) is the last window that contains each byte, `time` the window last read when the store happens.
    """

    instance: Array
    word: Array
    pixel: Array
    time: Array
    needed: Array
    changes: Array

    @property
    def early(self) -> Array:
        """Mask of the stores that change a word that is still needed."""
        return np.asarray((self.needed > self.time[:, None]).any(axis=1))


def check_own_input(reading: Reading, written: Written, memory: DataMemory, diagnostics: Diagnostics) -> None:
    """Report words of a layer's input that its output overwrites; to be called before the output is stored.

    A word that changes before its last read is an error, or a warning if its bytes happen to keep their values. Words
    that are overwritten after their last read are a note.
    """
    overlap = _overlap(reading, written, memory)
    if overlap is None:
        return
    early = overlap.early
    layer = reading.layer
    if not early.any():
        words = _count(overlap, overlap.needed.max(axis=1) > NEVER)
        if words:
            text = f"trailing overlap: {words} words of its own input are overwritten after their last use"
            diagnostics.report("note", text, layer=layer.index, register="WPTR")
        return
    changed = bool((overlap.changes & (overlap.needed > overlap.time[:, None]))[early].any())
    text = f"{_count(overlap, early)} words of its own input are overwritten before their last use, the first is "
    text += _first(overlap, layer)
    if not changed:
        text += "; the bytes that are needed happen to keep their values"
    diagnostics.report("error" if changed else "warning", text, layer=layer.index, register="WPTR")


def _overlap(reading: Reading, written: Written, memory: DataMemory) -> _Overlap | None:
    """Return the stores to the range of words that the layer reads; None if there are none."""
    if not written.values.size:
        return None
    first, last = reading.words
    word = written.word
    # Pixels ascend along the last axis.
    if int(word[..., 0].min()) > last or int(word[..., -1].max()) < first:
        return None
    instances = distinct(reading.layer.processors // PROCESSORS_PER_INSTANCE)
    shape = written.values.shape
    candidate = np.isin(written.instance, instances) & (word >= first) & (word <= last)
    index = np.nonzero(np.broadcast_to(candidate, shape))
    if not len(index[0]):
        return None
    needed = _last_reads(reading, first, last)
    instance, word = np.broadcast_to(written.instance, shape)[index], np.broadcast_to(word, shape)[index]
    before = memory.lanes[instance, word]
    values = written.values[index]
    if written.lane is None:
        changes = values.astype("<u4").view(np.int8).reshape(-1, LANES) != before
    else:
        lane = np.broadcast_to(written.lane, shape)[index]
        changes = (lane[:, None] == np.arange(LANES)) & (values[:, None] != before)
    time = write_times(reading.layer)[index[-1]]
    return _Overlap(instance, word, index[-1], time, needed[instance, word - first], changes)


def _last_reads(reading: Reading, first: int, last: int) -> Array:
    """Return the last window that contains each byte from word `first` to `last`, (instances, words, 4)."""
    latest = np.full((INSTANCES, last - first + 1, LANES), NEVER)
    times, needed = last_reads(reading.layer), reading.needed
    lanes = np.broadcast_to(reading.lane, (needed.shape[2], *reading.lane.shape[1:]))
    for operand, step in np.ndindex(needed.shape[:2]):
        word = reading.word[operand, step, 0] - first
        for rank in np.flatnonzero(reading.matters[step]).tolist():
            held = np.where(needed[operand, step, rank], times, NEVER)
            plane = latest[int(reading.instance[rank, 0, 0])]
            np.maximum.at(plane, (word, lanes[rank]), held)
    return latest


def _count(overlap: _Overlap, chosen: Array) -> int:
    """Return the number of distinct words that the chosen stores change."""
    return len(distinct(overlap.instance[chosen] << 32 | overlap.word[chosen]))


def _first(overlap: _Overlap, layer: HardwareLayer) -> str:
    """Return a text about the first of the stores that come too early."""
    early = np.flatnonzero(overlap.early)
    store = early[int(np.argmin(overlap.pixel[early]))]
    columns = layer.geometry.pooled[1]
    read, later = int(overlap.time[store]), int(overlap.needed[store].max())
    when = f"after window {divmod(read, columns)}" if read > NEVER else "before any window"
    return (
        f"word {int(overlap.word[store]):#x} of instance {int(overlap.instance[store])}: "
        f"output pixel {int(overlap.pixel[store])} is written {when} was read, "
        f"window {divmod(later, columns)} (row, column) still reads it"
    )
