"""FIFO input: queues and complete frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import QUADRANTS, Device
from ai8x_tool.device.registers import FIFO_CONTROL
from ai8x_tool.virtual.address_map import INSTANCES_PER_QUADRANT
from ai8x_tool.virtual.data_memory import HOST, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.registers import RegisterFile

Array = npt.NDArray[Any]

FAST = QUADRANTS
"""Queue number of the fast FIFO; 0 … 3 are the standard ones."""
_USED_LSB = 12


class Fifos:
    """Queued words of the four standard FIFOs and the fast FIFO."""

    def __init__(self) -> None:
        self._queues: list[list[Array]] = [[] for _ in range(FAST + 1)]
        self._counts = [0] * (FAST + 1)

    def push(self, number: int, values: Array) -> None:
        """Append words (uint32) to a FIFO."""
        self._queues[number].append(values)
        self._counts[number] += len(values)

    def count(self, number: int) -> int:
        """Return the number of words in a FIFO."""
        return self._counts[number]

    def waiting(self) -> dict[int, int]:
        """Return the number of words in each FIFO that is not empty."""
        return {number: count for number, count in enumerate(self._counts) if count}

    def drop(self, number: int) -> None:
        """Discard all words of a FIFO."""
        self._queues[number], self._counts[number] = [], 0

    def take(self, number: int, words: int) -> Array:
        """Remove and return the first `words` words."""
        data = np.concatenate(self._queues[number]) if self._queues[number] else np.zeros(0, np.uint32)
        self._queues[number] = [data[words:]]
        self._counts[number] = max(0, len(data) - words)
        return data[:words]


@dataclass(frozen=True)
class FrameInput:
    """Input of a run by FIFOs, `words` words each: `feeds` maps their numbers to the quadrants that read them."""

    words: int
    feeds: dict[int, tuple[int, ...]]

    def missing(self, fifos: Fifos) -> dict[int, int]:
        """Return the number of missing words of each FIFO that is not complete."""
        lack = {number: self.words - fifos.count(number) for number in self.feeds}
        return {number: count for number, count in lack.items() if count > 0}

    def frame(self, fifos: Fifos) -> DataMemory:
        """Take one frame from the queues and return it as data memory whose words count from 0."""
        memory = DataMemory(max(1, self.words))
        for number, quadrants in self.feeds.items():
            values = fifos.take(number, self.words)
            place = np.arange(len(values))
            for quadrant in quadrants:
                memory.store_words(np.array(INSTANCES_PER_QUADRANT * quadrant), place, values, HOST)
        return memory


def frame_input(
    registers: RegisterFile, device: Device, quadrants: tuple[int, ...], master: int, diagnostics: Diagnostics
) -> FrameInput | None:
    """Return the FIFO input for which a run waits; None without FIFO input."""
    control = {q: registers.fields("CTL", q) for q in quadrants}
    if not any(fields["fifo"] for fields in control.values()):
        return None
    words = registers.read("IFRM", master)
    if control[master]["quad"]:
        return FrameInput(words, {FAST: tuple(range(QUADRANTS))})
    fast = tuple(q for q, fields in control.items() if fields["fast_fifo"])
    if not fast:
        used = registers.words.get(device.base + FIFO_CONTROL, 0) >> _USED_LSB & (1 << QUADRANTS) - 1
        return FrameInput(words, {number: (number,) for number in range(QUADRANTS) if used >> number & 1})
    if len(fast) > 1 and not any(control[q]["fifo_group"] for q in fast):
        diagnostics.report(
            "error",
            f"the fast FIFO is to feed quadrants {', '.join(map(str, fast))}, but feeds only one without group mode: "
            f"{', '.join(map(str, fast[1:]))} starve",
            quadrant=fast[1],
            register="CTL",
        )
    return FrameInput(words, {FAST: fast})


def fifo_name(number: int) -> str:
    """Return the name of a queue."""
    return "fast FIFO" if number == FAST else f"FIFO {number}"
