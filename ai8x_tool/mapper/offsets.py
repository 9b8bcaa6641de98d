"""First-fit packing of data memory: values that live at the same time get the lowest free places."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

Overlaps = Mapping[tuple[Hashable, Hashable], int]
"""By (output, input) of a layer: the greatest distance of the output's first word from the input's first word at which
the layer overwrites only what it has already read."""
_INSTANCES = 16
NO_OVERLAPS: Overlaps = MappingProxyType({})


@dataclass(frozen=True)
class Block:
    """Words `first` … `last`, relative to the place of the group, in `instances` (a mask).

    The live range is from step `born` to step `dies`, inclusive. The block belongs to the value `owner`, which begins
    at word `origin` of the group.
    """

    instances: int
    first: int
    last: int
    born: int
    dies: int
    owner: Hashable = None
    origin: int = 0

    def meets(self, other: Block) -> bool:
        """Return whether both blocks live in a common instance at the same time."""
        return bool(self.instances & other.instances) and self.born <= other.dies and other.born <= self.dies


@dataclass(frozen=True)
class Group:
    """Blocks at fixed distances from each other, which are placed together; `fixed` is their place if it is given."""

    name: str
    blocks: tuple[Block, ...]
    fixed: int | None = None

    @property
    def lowest(self) -> int:
        """The smallest place at which all blocks lie in data memory."""
        return max(0, -min(block.first for block in self.blocks))

    @property
    def height(self) -> int:
        """Words from the group's place to the end of its last block."""
        return max(block.last for block in self.blocks) + 1


@dataclass(frozen=True)
class Packing:
    """Places by group, and the number of words used in the fullest instance."""

    places: dict[str, int]
    peak: int


class Demand(NamedTuple):
    """Words needed in some instance, the step at which they are needed (None: by one group alone), and the groups."""

    words: int
    step: int | None
    groups: tuple[str, ...]


def lower_bound(groups: Sequence[Group], overlaps: Overlaps = NO_OVERLAPS) -> int:
    """Return a lower bound of the words of the fullest instance, whatever the places of the groups."""
    return greatest_demand(groups, overlaps).words


def greatest_demand(groups: Sequence[Group], overlaps: Overlaps = NO_OVERLAPS) -> Demand:
    """Return the greatest demand of any instance at any time."""
    alone = max(groups, key=lambda group: group.lowest + group.height, default=None)
    best = Demand(0, None, ()) if alone is None else Demand(alone.lowest + alone.height, None, (alone.name,))
    for time in _births(groups):
        best = max(best, demand_at(groups, time, overlaps), key=lambda demand: demand.words)
    return best


def _births(groups: Sequence[Group]) -> list[int]:
    return sorted({block.born for group in groups for block in group.blocks})


def demand_at(groups: Sequence[Group], time: int, overlaps: Overlaps = NO_OVERLAPS) -> Demand:
    """Return the greatest demand of any instance at step `time`."""
    best = Demand(0, time, ())
    alive = [(group.name, [b for b in group.blocks if b.born <= time <= b.dies]) for group in groups]
    alive = [(name, blocks) for name, blocks in alive if blocks]
    newborn = {block.owner for _, blocks in alive for block in blocks if block.born == time}
    relevant = {pair: distance for pair, distance in overlaps.items() if pair[0] in newborn}
    masks = {block.instances for _, blocks in alive for block in blocks}
    kinds = {tuple(mask >> instance & 1 for mask in masks): instance for instance in range(_INSTANCES)}
    for instance in kinds.values():
        here = [(name, [b for b in blocks if b.instances >> instance & 1]) for name, blocks in alive]
        words = sum(_length(blocks) for _, blocks in here)
        if words > best.words:
            words -= _shared([b for _, blocks in here for b in blocks], time, relevant)
        if words > best.words:
            best = Demand(words, time, tuple(name for name, blocks in here if blocks))
    return best


def is_unavoidable(groups: Sequence[Group], demand: Demand, overlaps: Overlaps = NO_OVERLAPS) -> bool:
    """Return whether the demand is the same whatever the processors of its values are.

    That is so if it comes from a single value, or if all its values are so wide that they always share an instance.
    """
    time = demand.step
    if time is None:
        return True
    blocks = [b for group in groups if group.name in demand.groups for b in group.blocks if b.born <= time <= b.dies]
    owners = {block.owner for block in blocks}
    born = {block.owner for block in blocks if block.born == time}
    if any(distance < 0 and output in born and source in owners for (output, source), distance in overlaps.items()):
        return False  # with other processors, more may be overwritten
    return len(owners) == 1 or all(_is_wide(block.instances) for block in blocks)


def _is_wide(instances: int) -> bool:
    """Return whether `instances` are consecutive and more than half of all: any such runs have one in common."""
    lowest = instances & -instances
    return instances.bit_count() > _INSTANCES // 2 and (instances + lowest) & instances == 0


def necessary_overlaps(groups: Sequence[Group], overlaps: Overlaps, capacity: int) -> Overlaps:
    """Return the overlaps of outputs born at steps that need more than `capacity` words without overlaps."""
    births = {block.owner: block.born for group in groups for block in group.blocks}
    crowded = {
        time
        for time in {births[output] for output, _ in overlaps if output in births}
        if demand_at(groups, time).words > capacity
    }
    return {pair: distance for pair, distance in overlaps.items() if births.get(pair[0]) in crowded}


def _shared(blocks: Sequence[Block], time: int, overlaps: Overlaps) -> int:
    """Return the largest number of words that outputs born at `time` can share with the inputs that they overwrite."""
    saved = 0
    for (output, source), distance in overlaps.items():
        new = _length([b for b in blocks if b.owner == output and b.born == time])
        old = _length([b for b in blocks if b.owner == source])
        if new and old:
            saved += min(old, max(0, new - max(0, -distance)))
    return saved


def _length(blocks: list[Block]) -> int:
    """Return the number of words that the blocks of a group occupy together."""
    total, end = 0, None
    for block in sorted(blocks, key=lambda b: b.first):
        begin = block.first if end is None else max(block.first, end)
        if block.last + 1 > begin:
            total += block.last + 1 - begin
            end = block.last + 1
    return total


def pack(
    groups: Sequence[Group],
    capacity: int,
    *,
    attempts: int = 64,
    overlaps: Overlaps = NO_OVERLAPS,
    stop: Callable[[], bool] = lambda: False,
) -> Packing | None:
    """Return the packing with the smallest peak that was found; None if the groups do not fit `capacity` words.

    Groups are placed first-fit in several orders, `attempts` of them random, until `stop` returns True.
    """
    bound = lower_bound(groups, overlaps)
    neighbors = _neighbors(groups, overlaps)
    best: Packing | None = None
    for order in _orders(groups, attempts):
        packing = _first_fit(groups, order, neighbors, capacity)
        if packing is not None and (best is None or packing.peak < best.peak):
            best = packing
            if best.peak <= bound:
                break
        if stop():
            break
    return best


def _orders(groups: Sequence[Group], attempts: int) -> list[list[int]]:
    """Return the orders in which groups are placed: by size, by birth, and `attempts` random ones."""
    indices = list(range(len(groups)))
    span = {i: max(b.dies for b in groups[i].blocks) - min(b.born for b in groups[i].blocks) for i in indices}
    birth = {i: min(b.born for b in groups[i].blocks) for i in indices}
    height = {i: groups[i].height for i in indices}
    orders = [
        sorted(indices, key=lambda i: (-height[i], birth[i])),
        sorted(indices, key=lambda i: (birth[i], -height[i])),
        sorted(indices, key=lambda i: (-span[i], -height[i])),
        sorted(indices, key=lambda i: (-height[i] * (span[i] + 1), birth[i])),
        sorted(indices, key=lambda i: (-birth[i], -height[i])),
    ]
    generator = random.Random(len(groups))
    for _ in range(attempts):
        keys = {i: height[i] * (0.5 + generator.random()) for i in indices}
        orders.append(sorted(indices, key=lambda i: -keys[i]))
    return [sorted(order, key=lambda i: groups[i].fixed is None) for order in orders]


def _neighbors(groups: Sequence[Group], overlaps: Overlaps) -> list[list[tuple[int, int, int]]]:
    """Return for each group the forbidden distances to others: (other, lowest, highest) of place − other's place."""
    found: list[list[tuple[int, int, int]]] = [[] for _ in groups]
    for i, one in enumerate(groups):
        for j in range(i):
            for a in one.blocks:
                for b in groups[j].blocks:
                    if a.meets(b):
                        low, high = _forbidden(a, b, overlaps)
                        found[i].append((j, low, high))
                        found[j].append((i, -high, -low))
    return found


def _forbidden(a: Block, b: Block, overlaps: Overlaps) -> tuple[int, int]:
    """Return the smallest and the greatest distance of the group of `a` from that of `b` at which they collide."""
    low, high = b.first - a.last, b.last - a.first
    over, under = overlaps.get((a.owner, b.owner)), overlaps.get((b.owner, a.owner))
    if over is not None:
        low = max(low, over + b.origin - a.origin + 1)
    if under is not None:
        high = min(high, b.origin - a.origin - under - 1)
    return low, high


def _first_fit(
    groups: Sequence[Group], order: list[int], neighbors: list[list[tuple[int, int, int]]], capacity: int
) -> Packing | None:
    places: dict[int, int] = {}
    peak = 0
    for index in order:
        group = groups[index]
        forbidden = sorted((places[j] + low, places[j] + high) for j, low, high in neighbors[index] if j in places)
        place = group.lowest if group.fixed is None else group.fixed
        for low, high in forbidden:
            if low <= place <= high:
                if group.fixed is not None:
                    return None
                place = high + 1
        if place + group.height > capacity:
            return None
        places[index] = place
        peak = max(peak, place + group.height)
    return Packing({groups[i].name: place for i, place in places.items()}, peak)
