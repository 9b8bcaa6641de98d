"""Other samples in the place of a project's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.firmware.bus import Bus


class Feed:
    """The bus while ``load_input()`` runs: the program's stores, with the words of another sample.

    That works however the compiler has arranged the program's own sample. `arrays` are (address, words), consecutive
    words of data memory, or with `fifo` words for one address.
    """

    def __init__(self, bus: Bus, arrays: list[tuple[int, npt.NDArray[Any]]], *, fifo: bool) -> None:
        self._bus = bus
        self._queues: dict[int, Iterator[int]] = {}
        self._words: dict[int, int] = {}
        self._left = sum(len(words) for _, words in arrays)
        for address, words in arrays:
            if fifo:
                self._queues[address] = iter(words.tolist())
            else:
                self._words |= zip((address + 4 * np.arange(len(words))).tolist(), words.tolist(), strict=True)

    @property
    def complete(self) -> bool:
        """Whether the program has stored as many words as the sample has."""
        return self._left == 0

    def read(self, address: int, size: int) -> int:
        """Return what the accelerator returns."""
        return self._bus.read(address, size)

    def write(self, address: int, value: int, size: int) -> None:
        """Store the sample's word in the place of `value`."""
        word = self._words.get(address)
        if word is None and address in self._queues:
            word = next(self._queues[address], None)
        if word is not None:
            self._left -= 1
            value = word
        self._bus.write(address, value, size)

    @property
    def interrupt(self) -> bool:
        """Whether the accelerator's interrupt is pending."""
        return self._bus.interrupt
