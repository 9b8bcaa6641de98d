"""Rolling buffers of concurrently running layers, and detection of writes that destroy their contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ring:
    """The rolling buffer that streaming layer `layer` reads: words from `first` to before `end`.

    They lie in the data-memory `instances` of its processors; the producer writes the same words of the instances
    `written`.
    """

    layer: int
    first: int
    end: int
    instances: frozenset[int]
    written: frozenset[int]

    def overlaps(self, other: Ring) -> bool:
        """Return whether data written to one of the two buffers destroy those in the other."""
        apart = self.end <= other.first or other.end <= self.first
        return not apart and bool(self.written & other.instances or other.written & self.instances)


class Rings:
    """All rolling buffers of a run. They hold data until the frame has passed; any other write to them is an error."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self._rings: list[Ring] = []

    def add(self, ring: Ring) -> None:
        """Add the rolling buffer of the next streaming layer; report overlaps with others."""
        for other in (other for other in self._rings if ring.overlaps(other)):
            text = (
                f"the rolling buffer, words {ring.first:#x} … {ring.end - 1:#x}, shares words with that of layer "
                f"{other.layer}, words {other.first:#x} … {other.end - 1:#x}"
            )
            self.diagnostics.report("error", text, layer=ring.layer, register="RPTR")
        self._rings.append(ring)

    def check_output(self, layer: int, written: Written) -> None:
        """Report output of the last streaming layer that lies in a rolling buffer."""
        for ring in self._rings:
            inside = (written.word >= ring.first) & (written.word < ring.end)
            hit = inside & np.isin(written.instance, list(ring.instances))
            if hit.any():
                text = (
                    f"writes to the rolling buffer of layer {ring.layer}, words {ring.first:#x} … {ring.end - 1:#x}, "
                    "while it is in use"
                )
                self.diagnostics.report("error", text, layer=layer, register="WPTR")
