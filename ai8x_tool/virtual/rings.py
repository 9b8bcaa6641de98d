"""Rolling buffers of the layers that run concurrently: what writes into them while the frame passes."""

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
    """The rolling buffer that streaming layer `layer` reads: words `first` up to `end`, not included.

    They lie in the data memory `instances` of its processors; who feeds it writes the same words of `written`.
    """

    layer: int
    first: int
    end: int
    instances: frozenset[int]
    written: frozenset[int]

    def shares(self, other: Ring) -> bool:
        """Whether what fills one of two rings destroys what the other holds."""
        apart = self.end <= other.first or other.end <= self.first
        return not apart and bool(self.written & other.instances or other.written & self.instances)


class Rings:
    """All rings of a run. They hold data until the frame has passed: everything that writes into one is an error."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self._rings: list[Ring] = []

    def add(self, ring: Ring) -> None:
        """Add the ring of the next streaming layer."""
        for other in (other for other in self._rings if ring.shares(other)):
            text = (
                f"the rolling buffer, words {ring.first:#x} … {ring.end - 1:#x}, shares words with that of layer "
                f"{other.layer}, words {other.first:#x} … {other.end - 1:#x}"
            )
            self.diagnostics.report("error", text, layer=ring.layer, register="RPTR")
        self._rings.append(ring)

    def check_output(self, layer: int, written: Written) -> None:
        """Check what the last streaming layer writes."""
        for ring in self._rings:
            inside = (written.word >= ring.first) & (written.word < ring.end)
            hit = inside & np.isin(written.instance, list(ring.instances))
            if hit.any():
                text = (
                    f"writes into the rolling buffer of layer {ring.layer}, words {ring.first:#x} … {ring.end - 1:#x}, "
                    "while it is in use"
                )
                self.diagnostics.report("error", text, layer=layer, register="WPTR")
