"""Lookup of the values that a layer wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.virtual.data_memory import INSTANCES
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]

_LANES = 4


class WrittenImage:
    """The values that one layer wrote, by instance, word and lane (`wide` layers: by instance and word)."""

    def __init__(self, written: Written) -> None:
        self.wide = written.lane is None
        words = int(written.word.max(initial=-1)) + 1
        shape = (INSTANCES, words) if written.lane is None else (INSTANCES, words, _LANES)
        place: tuple[Array, ...] = (written.instance, written.word)
        place = place if written.lane is None else (*place, written.lane)
        self._values = np.zeros(shape, np.int32 if self.wide else np.int8)
        self._present = np.zeros(shape, bool)
        if written.values.size:
            self._values[place] = written.values.view(np.int32) if self.wide else written.values
            self._present[place] = True

    def find(self, instance: int, words: Array, lanes: Array) -> tuple[Array, Array]:
        """Return (values, written), each (lanes, words), at `words` of one instance.

        In wide data, lane n is n words further on.
        """
        lane = lanes[:, None]
        index = words + lane * self.wide
        inside = (index >= 0) & (index < self._values.shape[1])
        where = np.where(inside, index, 0)
        if not self._values.shape[1]:
            return np.zeros(index.shape, np.int32), inside
        place = (instance, where) if self.wide else (instance, where, lane)
        return self._values[place].astype(np.int32), inside & self._present[place]
