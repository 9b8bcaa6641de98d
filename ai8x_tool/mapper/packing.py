"""Packing of all values in data memory: first-fit, followed by exact search if the result may not be optimal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ai8x_tool.mapper.exact import pack_exactly
from ai8x_tool.mapper.offsets import (
    NO_OVERLAPS,
    Block,
    Demand,
    Group,
    Overlaps,
    Packing,
    demand_at,
    greatest_demand,
    necessary_overlaps,
    pack,
)

_NODES = 2_000
_ROUNDS = 16
_FULLEST = 4
_REACHES = (0, 1, 2, 4, 8)
"""To prove that memory is too small, the values near each of the `_FULLEST` steps are packed alone: those that live
within so many steps of it."""


@dataclass(frozen=True)
class Packed:
    """The packing of all values, None if none was found, and a lower bound of the words of the fullest instance.

    The packing is optimal if its peak equals the bound. Without a packing, a bound greater than the capacity proves
    that none exists. `demand` is the greatest demand of any instance at any time.
    """

    packing: Packing | None
    bound: int
    demand: Demand


def pack_values(
    groups: Sequence[Group],
    capacity: int,
    overlaps: Overlaps,
    *,
    thorough: bool,
    stop: Callable[[], bool],
) -> Packed:
    """Return the packing of all groups within `capacity` words.

    Outputs overlap input that has been read only at steps at which the live values do not fit otherwise. With
    `thorough`, a packing that may not be optimal is followed by an exact search, until `stop` returns True.
    """
    demand = greatest_demand(groups, overlaps)
    bound = demand.words
    if bound > capacity:
        return Packed(None, bound, demand)
    needed = necessary_overlaps(groups, overlaps, capacity) if overlaps else NO_OVERLAPS
    packing = pack(groups, capacity, overlaps=needed, stop=stop)
    if packing is None and len(needed) < len(overlaps):
        packing = pack(groups, capacity, overlaps=overlaps, stop=stop)
    if not thorough or overlaps or (packing is not None and packing.peak <= bound):
        return Packed(packing, bound, demand)
    return _improved(groups, capacity, Packed(packing, bound, demand), stop)


def _improved(groups: Sequence[Group], capacity: int, known: Packed, stop: Callable[[], bool]) -> Packed:
    """Bisect between the best packing (the incumbent) and the lower bound until they meet or time is up."""
    best, bound = known.packing, known.bound
    for number in range(_ROUNDS):
        highest = capacity if best is None else best.peak - 1
        if bound > highest or stop():
            break
        # The bound itself is most often feasible; if not, every step halves the interval.
        limit = bound if number == 0 else (bound + highest) // 2 if best is not None else highest
        if _is_impossible(groups, limit, stop):
            bound = limit + 1
            continue
        found = pack_exactly(groups, limit, nodes=_NODES, stop=stop)
        if found.packing is not None:
            best = found.packing
        elif found.complete:
            bound = limit + 1
        elif best is None and limit < highest:
            continue
        else:
            break
    return Packed(best, bound, known.demand)


def _is_impossible(groups: Sequence[Group], limit: int, stop: Callable[[], bool]) -> bool:
    """Return whether the values around one of the fullest steps alone do not fit."""
    times = sorted({block.born for group in groups for block in group.blocks})
    demands = {time: demand_at(groups, time).words for time in times}
    fullest = sorted(times, key=lambda time: (-demands[time], time))[:_FULLEST]
    for reach in _REACHES:
        for time in fullest:
            near = [group for group in groups if any(_is_near(block, time, reach) for block in group.blocks)]
            found = pack_exactly(near, limit, nodes=_NODES // 10, stop=stop)
            if found.complete and found.packing is None:
                return True
    return False


def _is_near(block: Block, time: int, reach: int) -> bool:
    return block.born <= time + reach and block.dies >= time - reach
