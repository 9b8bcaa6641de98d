"""Results of the search: a placement, or the resource that is too small for one."""

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
class MappingResult:
    """A placement that breaks no rule.

    `network` includes the inserted copies, whose names are `copies`. `peak` is the number of bytes up to the end of the
    fullest data-memory instance; `peak_bound` is a lower bound for this order of layers, these copies and these
    processors: if both are equal, the peak is optimal for them. `trailing` are the layers whose output overwrites parts
    of their own input that have been read, `parallel` those that compute four outputs at a time, which `cycles` do not
    take into account.
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
    """The obstacle to a placement: `needed` bytes (or layers), of which `available` exist.

    `resource` is "structure" if the obstacle is a rule, not an amount; both are 0 then. `where` is the layer concerned,
    `text` the whole sentence. `certain` is whether the shortage exists whatever the processors of values are.
    """

    resource: Resource
    text: str
    needed: int = 0
    available: int = 0
    where: str = ""
    certain: bool = False

    @property
    def excess(self) -> float:
        """Ratio of needed to available; infinite if no amount would suffice."""
        return self.needed / self.available if self.available else float("inf")

    def __str__(self) -> str:
        """The place and the sentence."""
        return f"{self.where}: {self.text}" if self.where else self.text


class UnmappableError(Ai8xError):
    """No placement was found: `shortage` is the obstacle on the input path with the smallest excess."""

    def __init__(self, message: str, shortage: Shortage, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(message, where=where, fix=fix)
        self.shortage = shortage
