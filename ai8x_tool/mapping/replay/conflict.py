"""Conflicts found by a replay: memory whose contents differ from what the network specifies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE

Kind = Literal["read", "early", "end", "ring", "outside", "read-ahead", "kernel", "bias"]
"""`read`: a layer reads other data than it should; `early`: a layer overwrites input that it has yet to read; `end`: an
output, or data that the next inference reads, is lost at the end; `ring`: a rolling buffer is overwritten while in use;
`outside`: a place that does not exist; `read-ahead`: a block of memory is read and written at the same time; `kernel`
and `bias`: the layer's registers point to other values."""


@dataclass(frozen=True)
class Conflict:
    """`layer` does not read, or destroys, the data `victim`; `found` are the data found instead.

    `unit` and `position` are instance and word of data memory, processor and column of kernel memory, or quadrant and
    entry of bias memory, of the first of `count` places. `where` is the place that messages name.
    """

    kind: Kind
    layer: str
    victim: str
    unit: int
    position: int
    found: str = ""
    count: int = 1
    where: str = ""

    def text(self) -> str:
        """Return the conflict as a sentence."""
        return _SENTENCES[self.kind].format(c=self, place=self._place(), found=self.found or "nothing")

    def _place(self) -> str:
        if self.kind == "kernel":
            return f"processor {self.unit}, kernel column {self.position}"
        if self.kind == "bias":
            return f"quadrant {self.unit}, bias entry {self.position}"
        first = PROCESSORS_PER_INSTANCE * self.unit
        last = first + PROCESSORS_PER_INSTANCE - 1
        return f"offset {4 * self.position:#x} in the data memory of processors {first} … {last}"


_SENTENCES = {
    "read": "{c.layer} reads {c.victim} at {place}, but finds {found} there ({c.count} values)",
    "early": "{c.layer} overwrites {c.victim}, which it has yet to read, at {place} ({c.count} words)",
    "end": "{c.victim} must be at {place} at the end, but {found} is there ({c.count} values)",
    "ring": "{c.layer} writes to {c.victim}, which is in use, at {place} ({c.count} words)",
    "outside": "{c.layer} exceeds memory with {c.victim}: {place} does not exist ({c.count} words)",
    "read-ahead": "{c.layer} writes its output to the memory block from which it reads ahead, at {place}",
    "kernel": "{c.layer} does not find {c.victim} at {place} ({c.count} weights)",
    "bias": "{c.layer} does not find {c.victim} at {place} ({c.count} values)",
}
