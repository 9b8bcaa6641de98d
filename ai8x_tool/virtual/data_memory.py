"""Data memory: 16 instances of 32-bit words, shared by four processors each. spec: execution, sections 1, 5.1, 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE

Array = npt.NDArray[Any]

INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE
UNDEFINED, HOST = -2, -1
"""Origins of a byte that no layer wrote; a layer's own number otherwise."""


class DataMemory:
    """`words` words in each instance. `lanes` is (instances, words, 4) of signed bytes, lane 0 = bits 7…0.

    `origin`, of the same shape, tells who wrote each byte: UNDEFINED, HOST or a hardware layer; `unread` whether
    nothing read it since; `clobbered` whether that write replaced data of another origin that nothing had read.
    """

    def __init__(self, words: int) -> None:
        self.lanes = np.zeros((INSTANCES, words, 4), np.int8)
        self.origin = np.full((INSTANCES, words, 4), UNDEFINED, np.int16)
        self.unread = np.zeros((INSTANCES, words, 4), bool)
        self.clobbered = np.zeros((INSTANCES, words, 4), bool)

    @property
    def size(self) -> int:
        """Words in each instance."""
        return self.lanes.shape[1]

    def grow(self, words: int) -> None:
        """Make room for at least `words` words in each instance."""
        if words <= self.size:
            return
        larger = DataMemory(max(words, 2 * self.size))
        larger.lanes[:, : self.size] = self.lanes
        larger.origin[:, : self.size] = self.origin
        self.lanes, self.origin = larger.lanes, larger.origin

    def store_words(self, instance: Array, word: Array, values: Array, origin: int) -> None:
        """Store 32-bit `values` (uint32) at the places given by equally shaped index arrays."""
        data = np.ascontiguousarray(values, "<u4")
        self.lanes[instance, word] = data.view(np.int8).reshape(*data.shape, 4)
        self._mark((instance, word), origin)

    def store_bytes(self, instance: Array, word: Array, lane: Array, values: Array, origin: int) -> None:
        """Store bytes (int8) at the places given by index arrays that broadcast together."""
        self.lanes[instance, word, lane] = values
        self._mark((instance, word, lane), origin)

    def _mark(self, place: tuple[Array, ...], origin: int) -> None:
        if origin != HOST:
            self.clobbered[place] = self.unread[place] & (self.origin[place] != origin)
        self.origin[place] = origin
        self.unread[place] = True

    def fetch(self, instance: Array, word: Array, lane: Array) -> tuple[Array, Array]:
        """Return (values, origins) of bytes, which count as read from now on."""
        self.unread[instance, word, lane] = False
        return self.lanes[instance, word, lane], self.origin[instance, word, lane]

    def begin_run(self) -> None:
        """Forget what earlier runs left unread."""
        self.unread &= self.origin == HOST
        self.clobbered[:] = False

    def load_words(self, instance: Array | int, word: Array | int) -> Array:
        """Return 32-bit words (uint32) from the places given."""
        return np.ascontiguousarray(self.lanes[instance, word]).view("<u4")[..., 0]

    def forget(self, instance: Array, word: slice) -> None:
        """Mark words as undefined, as a rolling buffer leaves them."""
        self.origin[instance, word] = UNDEFINED

    def clear(self, instances: slice) -> None:
        """Set instances to 0, as the memory-clear function does."""
        self.lanes[instances] = 0
        self.origin[instances] = HOST
