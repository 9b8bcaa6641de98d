"""Data memory: 16 instances of 32-bit words, each shared by four processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE

Array = npt.NDArray[Any]

INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE
LANES = 4
"""Bytes of a word."""
HOST, UNDEFINED, CLEARED, RING, EARLIER = -1, -2, -3, -4, -5
"""Origins of a byte that no layer of this run wrote: the host stored it; it was never written; the memory-clear
function set it; a rolling buffer destroyed it; a layer of an earlier run wrote it. Other origins are layer numbers."""


class DataMemory:
    """Data memory of `words` words per instance. `lanes` is (instances, words, 4) of signed bytes; lane 0 is bits 7…0.

    `origin`, of the same shape, records the origin of each byte.
    """

    def __init__(self, words: int) -> None:
        self.lanes = np.zeros((INSTANCES, words, LANES), np.int8)
        self.origin = np.full((INSTANCES, words, LANES), UNDEFINED, np.int16)

    @property
    def size(self) -> int:
        """Words per instance."""
        return self.lanes.shape[1]

    def store_words(self, instance: Array, word: Array, values: Array, origin: int) -> None:
        """Store 32-bit `values` (uint32) at the places given by index arrays of the same shape."""
        data = np.ascontiguousarray(values, "<u4")
        self.lanes[instance, word] = data.view(np.int8).reshape(*data.shape, LANES)
        self.origin[instance, word] = origin

    def store_bytes(self, instance: Array, word: Array, lane: Array, values: Array, origin: int) -> None:
        """Store bytes (int8) at the places given by index arrays that can be broadcast."""
        self.lanes[instance, word, lane] = values
        self.origin[instance, word, lane] = origin

    def fetch(self, instance: Array, word: Array, lane: Array) -> tuple[Array, Array]:
        """Return (values, origins) of the bytes at the given places."""
        return self.lanes[instance, word, lane], self.origin[instance, word, lane]

    def load_words(self, instance: Array | int, word: Array | int) -> Array:
        """Return the 32-bit words (uint32) at the given places."""
        return np.ascontiguousarray(self.lanes[instance, word]).view("<u4")[..., 0]

    def begin_run(self) -> None:
        """Mark everything that layers have written as written by an earlier run."""
        self.origin[self.origin >= 0] = EARLIER

    def destroy(self, instances: Array, word: slice) -> None:
        """Mark words as destroyed by a rolling buffer."""
        self.origin[instances, word] = RING

    def clear(self, instances: slice) -> None:
        """Set instances to 0, as the memory-clear function does."""
        self.lanes[instances] = 0
        self.origin[instances] = CLEARED
