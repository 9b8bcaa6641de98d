"""Bias memory: signed bytes, one per word of address space."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import QUADRANTS, Device

Array = npt.NDArray[Any]


class BiasMemory:
    """`values` is (quadrants, entries) of signed bytes; `loaded` marks the entries that were stored.

    `revision` changes with every store.
    """

    def __init__(self, device: Device) -> None:
        self.values = np.zeros((QUADRANTS, device.bias_size), np.int8)
        self.loaded = np.zeros((QUADRANTS, device.bias_size), bool)
        self.revision = 0

    def store(self, quadrant: int, entries: Array, values: Array) -> None:
        """Store the low byte of each value (uint32)."""
        self.values[quadrant, entries] = values.astype(np.uint8).view(np.int8)
        self.loaded[quadrant, entries] = True
        self.revision += 1

    def fetch(self, quadrant: int, entries: Array) -> tuple[Array, Array]:
        """Return (values, stored): int64 and bool; entries outside the memory are 0 and count as not stored."""
        inside = (entries >= 0) & (entries < self.values.shape[1])
        index = np.where(inside, entries, 0)
        loaded = inside & self.loaded[quadrant, index]
        return np.where(loaded, self.values[quadrant, index].astype(np.int64), 0), loaded

    def clear(self, quadrant: int) -> None:
        """Set the entries of a quadrant to 0, as the memory-clear function does."""
        self.values[quadrant] = 0
        self.loaded[quadrant] = False
        self.revision += 1
