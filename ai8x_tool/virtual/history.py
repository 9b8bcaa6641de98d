"""History of the reads and writes of a run, and detection of data that were lost before their last reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT
from ai8x_tool.virtual.data_memory import EARLIER, HOST, RING, UNDEFINED, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics, Severity
from ai8x_tool.virtual.layer import HardwareLayer
from ai8x_tool.virtual.read_side import Reading
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]
Place = tuple[Array, Array, Array]


@dataclass(frozen=True, eq=False)
class Change:
    """Bytes that one layer replaced at `place` (instance, word, lane): their origins and values."""

    layer: int
    place: Place
    origins: Array
    values: Array


class History:
    """Reads and changes of data memory during one run, numbered in the order in which they happen.

    Only the stores are known, not the network. A network reads everything that a layer wrote, or nothing; therefore
    these are suspicious: a plane (the input of one processor, pass and operand) of which another layer replaced some
    bytes; output that is replaced as a whole before it is read; and the same for data that the next run finds.
    """

    def __init__(self, memory: DataMemory, diagnostics: Diagnostics) -> None:
        self.memory, self.diagnostics = memory, diagnostics
        self.readings: dict[int, Reading] = {}
        self.changes: dict[int, Change] = {}
        self._unread: dict[int, int] = {}
        self._strange: list[int] = []

    @property
    def _time(self) -> int:
        return len(self.readings) + len(self.changes)

    def reads(self, reading: Reading) -> None:
        """Record and check what a layer reads."""
        origin = reading.origin
        low, high = origin.min(axis=(3, 4)), origin.max(axis=(3, 4))
        mixed = bool((low < high).any())
        for writer in distinct(origin).tolist() if mixed else {*low.flat}:
            self._unread.pop(writer, None)
        if low.min() < HOST:
            self._strange.append(self._time)
            _check_ring(reading, self.diagnostics)
        if mixed:
            self._check_mixed(reading)
        self.readings[self._time] = reading

    def writes(self, layer: HardwareLayer, written: Written) -> None:
        """Record the bytes that a layer is about to replace."""
        if not written.values.size:
            return
        place = written.place
        origins, values = self.memory.origin[place], self.memory.lanes[place]
        for other in [o for o in self._unread if o != layer.index]:
            self._unread[other] -= int(np.count_nonzero(origins == other))
            if not self._unread[other]:
                text = f"replaces all output of layer {other} before any layer has read it"
                self.diagnostics.report("note", text, layer=layer.index, register="WPTR")
                del self._unread[other]
        if not layer.resets:
            self._unread[layer.index] = origins.size
        self.changes[self._time] = Change(layer.index, place, origins, values)

    def close(self) -> None:
        """Check the whole run at its end: input that was never written, and state that the next run finds."""
        carried = {}
        for time in self._strange:
            reading = self.readings[time]
            later = self.memory.origin[reading.place] >= 0
            _check_undefined(reading, later, self.diagnostics)
            own = later & (reading.origin < HOST) & (reading.origin != RING) & reading.needed
            if own.any():
                carried[time] = own
        self._strange = []
        if carried:
            self._check_carried(carried)

    # -- Within a run ----------------------------------------------------------------------------------------------

    def _check_mixed(self, reading: Reading) -> None:
        """Report planes in which a layer replaced a part of what another layer or the host wrote."""
        origin, needed = reading.origin, reading.needed
        known = needed & (origin >= HOST)
        low = np.where(known, origin, np.iinfo(origin.dtype).max).min(axis=(3, 4))
        high = np.where(known, origin, UNDEFINED).max(axis=(3, 4))
        mixed = high > low
        if not mixed.any():
            return
        owner, values = self._replaced(reading)
        lost = np.zeros(origin.shape, bool)
        for writer in distinct(origin[known]).tolist():
            own = origin == writer
            remains = (own & needed).any(axis=(3, 4), keepdims=True)
            lost |= (owner == writer) & ~own & remains & needed
        if not lost.any():
            _report_writers(reading, np.argwhere(mixed)[0].tolist(), self.diagnostics)
            return
        now = self.memory.lanes[reading.place]
        differs = bool((lost & (values != now)).any())
        first = tuple(np.argwhere(lost)[0].tolist())
        count, processor = int(lost[first[:3]].sum()), int(reading.layer.processors[first[2]])
        text = (
            f"processor {processor}, pass {first[1]}: {_name(int(origin[first]))} replaced {count} of the input bytes "
            f"that {_name(int(owner[first]))} wrote{'' if differs else ', with the same values'}"
        )
        self._report(differs, text, reading.layer.index, "RPTR", processor)

    def _replaced(self, reading: Reading) -> tuple[Array, Array]:
        """Return origins (UNDEFINED for none) and values of the bytes last replaced at the places of `reading`."""
        owner = np.full(self.memory.origin.shape, UNDEFINED, np.int16)
        values = np.zeros(owner.shape, np.int8)
        for change in self.changes.values():
            owner[change.place], values[change.place] = change.origins, change.values
        return owner[reading.place], values[reading.place]

    def _report(self, differs: bool, text: str, layer: int, register: str, processor: int) -> None:
        severity: Severity = "error" if differs else "warning"
        quadrant = processor // PROCESSORS_PER_QUADRANT
        self.diagnostics.report(severity, text, layer=layer, quadrant=quadrant, register=register)

    # -- From run to run -------------------------------------------------------------------------------------------

    def _check_carried(self, carried: dict[int, Array]) -> None:
        """Report state of which a part was replaced after it was complete.

        State consists of bytes that a layer reads before this run writes them; the next run finds what this one leaves.
        It was complete when a layer read bytes of it together. If some of those bytes change afterwards and others do
        not, the next run reads a mixture of old and new state.
        """
        first, last, values = self._write_times()
        for time, reading in self.readings.items():
            place = reading.place
            begun, ended, needed = first[place], last[place], reading.needed
            changed = needed & (begun >= 0) & (begun < time) & (ended > time)
            kept = needed & (ended >= 0) & (ended < time)
            if not changed.any() or not kept.any():
                continue
            for operand, step in np.ndindex(*changed.shape[:2]):
                parts = changed[operand, step], kept[operand, step]
                self._check_torn(reading, (operand, step), parts, carried, last, values)

    def _check_torn(
        self,
        reading: Reading,
        plane: tuple[int, int],
        parts: tuple[Array, Array],
        carried: dict[int, Array],
        last: Array,
        values: Array,
    ) -> None:
        """Report state that contains both `parts` of a reading: those that changed later and those that did not.

        Both are masks (processors, rows, columns).
        """
        marks = np.zeros(last.shape, np.int8)
        word = np.broadcast_to(reading.word[plane], parts[0].shape)
        instance, lane = (np.broadcast_to(x, parts[0].shape) for x in (reading.instance, reading.lane))
        for number, part in enumerate(parts, 1):
            marks[instance[part], word[part], lane[part]] = number
        for time, state in carried.items():
            reader = self.readings[time]
            place = reader.place
            mark = np.where(state, marks[place], 0)
            torn = (mark == 1) & (mark == 2).any(axis=(3, 4), keepdims=True)
            if not torn.any():
                continue
            differs = bool((torn & (values[place] != self.memory.lanes[place])).any())
            at = tuple(np.argwhere(torn)[0].tolist())
            processor = int(reader.layer.processors[at[2]])
            culprit = self.changes[int(last[place][at])].layer
            text = (
                f"processor {processor}, pass {at[1]}: replaces {int(torn[at[:3]].sum())} bytes of the state that "
                f"layer {reading.layer.index} read and that layer {reader.layer.index} reads in the next run"
                f"{'' if differs else ', with the same values'}"
            )
            self._report(differs, text, culprit, "WPTR", processor)

    def _write_times(self) -> tuple[Array, Array, Array]:
        """Return the times of the first and last write of each byte (−1: never), and the value replaced last."""
        shape = self.memory.origin.shape
        first, last, values = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32), np.zeros(shape, np.int8)
        for time, change in self.changes.items():
            first[change.place] = np.where(first[change.place] < 0, time, first[change.place])
            last[change.place], values[change.place] = time, change.values
        return first, last, values


def check_stream_input(reading: Reading, diagnostics: Diagnostics) -> None:
    """Report input that a streaming layer, or a layer that reads a FIFO, does not receive."""
    if reading.origin.min() < HOST:
        _check_undefined(reading, np.zeros(reading.origin.shape, bool), diagnostics)


def _name(origin: int) -> str:
    return {HOST: "the host", EARLIER: "an earlier run"}.get(origin, f"layer {origin}")


def _report_writers(reading: Reading, plane: list[int], diagnostics: Diagnostics) -> None:
    operand, step, rank = plane
    processor = int(reading.layer.processors[rank])
    writers = distinct(reading.origin[operand, step, rank]).tolist()
    names = " and ".join(_name(writer) for writer in writers if writer >= HOST)
    text = f"processor {processor}, pass {step}: the input was written by {names}"
    quadrant = processor // PROCESSORS_PER_QUADRANT
    diagnostics.report("note", text, layer=reading.layer.index, quadrant=quadrant, register="RPTR")


def _check_ring(reading: Reading, diagnostics: Diagnostics) -> None:
    """Report bytes that rolling buffers destroyed."""
    lost = (reading.origin == RING) & reading.needed
    if not lost.any():
        return
    _, step, rank, *_ = np.argwhere(lost)[0].tolist()
    processor = int(reading.layer.processors[rank])
    text = f"processor {processor}, pass {step}: rolling buffers destroyed {int(lost[:, step, rank].sum())} input bytes"
    quadrant = processor // PROCESSORS_PER_QUADRANT
    diagnostics.report("error", text, layer=reading.layer.index, quadrant=quadrant, register="RPTR")


def _check_undefined(reading: Reading, later: Array, diagnostics: Diagnostics) -> None:
    """Report bytes that were never written. `later` marks those that this run writes afterwards, for the next run."""
    undefined = (reading.origin == UNDEFINED) & reading.matters[..., None, None]
    planes = undefined.any(axis=(0, 3, 4))
    if not planes.any():
        return
    layer = reading.layer
    fresh = (reading.origin >= 0).any(axis=(0, 3, 4))
    state = planes & ~fresh & ~(undefined & ~later).any(axis=(0, 3, 4))
    missing = (undefined & reading.needed).any(axis=(0, 3, 4)) & ~state & (not layer.resets)
    reports: tuple[tuple[Array, Severity, str], ...] = (
        (missing, "warning", ""),
        (planes & ~missing & ~state, "note", ""),
        (state, "note", " before, but later: the next run reads them"),
    )
    for chosen, severity, more in reports:
        if not chosen.any():
            continue
        step, rank = np.argwhere(chosen)[0].tolist()
        plane, processor = undefined[:, step, rank], int(layer.processors[rank])
        text = f"processor {processor}, pass {step}: {int(plane.sum())} of {plane.size} input bytes were never written"
        quadrant = processor // PROCESSORS_PER_QUADRANT
        diagnostics.report(severity, text + more, layer=layer.index, quadrant=quadrant, register="RPTR")
