"""What the search returns: a placement, or the resource that is too small for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.paths import InputPath
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.network import Network

Resource = Literal["data memory", "kernel memory", "bias memory", "layers", "structure"]


@dataclass(frozen=True)
class Found:
    """A placement that no rule objects to.

    `network` has copies that the given one does not have, `copies` are their names. `peak` are the bytes up to the end
    of the fullest data-memory instance, `peak_bound` those that some instance must hold in this order with these
    copies: the peak is proven to be the smallest if both are equal. `trailing` are the layers that overwrite their own
    input where they have read it, `parallel` those that compute four outputs at a time, which `cycles` do not show.
    """

    network: Network
    placement: Placement
    options: MappingOptions
    path: InputPath
    copies: tuple[str, ...]
    cycles: int
    peak: int
    peak_bound: int
    seconds: float
    trailing: tuple[str, ...] = ()
    parallel: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shortage:
    """What stands in the way of a placement: `needed` bytes (or layers), of which `available` exist.

    `resource` is "structure" where it is not an amount, but a rule; both are 0 then. `where` is the layer at which it
    shows, `text` the whole sentence.
    """

    resource: Resource
    text: str
    needed: int = 0
    available: int = 0
    where: str = ""

    @property
    def excess(self) -> float:
        """How many times of what exists is needed; infinite where no amount would help."""
        return self.needed / self.available if self.available else float("inf")

    def __str__(self) -> str:
        """The sentence, with its place."""
        return f"{self.where}: {self.text}" if self.where else self.text


class CertainShortage(Shortage):
    """What stands in the way wherever the processors of values are."""


class UnmappableError(Ai8xError):
    """No placement was found: `shortage` is the reason that the way with the smallest excess had."""

    def __init__(self, message: str, shortage: Shortage, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(message, where=where, fix=fix)
        self.shortage = shortage
