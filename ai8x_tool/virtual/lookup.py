"""Lookup of the values that a layer wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.virtual.data_memory import INSTANCES, LANES
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]


class WrittenImage:
    """The values that one layer wrote, by instance, word and lane (`wide` layers: by instance and word)."""

    def __init__(self, written: Written) -> None:
        self.wide = written.lane is None
        self._words = int(written.word.max(initial=-1)) + 1
        size = INSTANCES * self._words * (1 if self.wide else LANES)
        self._values = np.zeros(size, np.int32 if self.wide else np.int8)
        self._present = np.zeros(size, bool)
        if written.values.size:
            place = self._place(written.instance, written.word, written.lane)
            self._values[place] = written.values.view(np.int32) if self.wide else written.values
            self._present[place] = True

    def find(self, instance: Array, word: Array, lane: Array) -> tuple[Array, Array]:
        """Return (values, written) at places given by index arrays that broadcast; `wide` layers ignore `lane`."""
        inside = word < self._words
        if not inside.all():
            if not self._words:
                return np.zeros(inside.shape, np.int32), inside
            word = np.where(inside, word, 0)
        place = self._place(instance, word, lane)
        return self._values[place].astype(np.int32), inside & self._present[place]

    def _place(self, instance: Array, word: Array, lane: Array | None) -> Array:
        place: Array = instance * self._words + word
        return place if self.wide or lane is None else place * LANES + lane
