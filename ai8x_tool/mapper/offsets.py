"""Places in data memory for values that live at the same time: the lowest ones that are free."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Words `first` … `last` (from the place of its group) in `instances` (a mask) from step `born` to step `dies`."""

    instances: int
    first: int
    last: int
    born: int
    dies: int

    def meets(self, other: Block) -> bool:
        """True if both live in an instance in common at the same time."""
        return bool(self.instances & other.instances) and self.born <= other.dies and other.born <= self.dies


@dataclass(frozen=True)
class Group:
    """Blocks at fixed distances, which are placed together, `fixed` if their place is given.

    `lowest` is the smallest place, so that every block lies in memory.
    """

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
    """Places by group, and the words that the fullest instance uses."""

    places: dict[str, int]
    peak: int


def lower_bound(groups: Sequence[Group]) -> int:
    """Return the words that some instance needs at some time, wherever the groups lie."""
    best = max((group.lowest + group.height for group in groups), default=0)
    for time in sorted({block.born for group in groups for block in group.blocks}):
        alive = [[b for b in group.blocks if b.born <= time <= b.dies] for group in groups]
        used = 0
        for blocks in alive:
            for block in blocks:
                used |= block.instances
        for instance in _bits(used):
            best = max(best, sum(_length([b for b in blocks if b.instances >> instance & 1]) for blocks in alive))
    return best


def _length(blocks: list[Block]) -> int:
    """Return how many words the blocks of a group take together."""
    total, end = 0, None
    for block in sorted(blocks, key=lambda b: b.first):
        begin = block.first if end is None else max(block.first, end)
        if block.last + 1 > begin:
            total += block.last + 1 - begin
            end = block.last + 1
    return total


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def pack(
    groups: Sequence[Group],
    capacity: int,
    *,
    attempts: int = 64,
    allowed: Callable[[str, int, str, int], bool] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Packing | None:
    """Return the places of all groups with the smallest peak that was found, None if they do not fit `capacity`.

    `allowed` says of two groups at places whether they may overlap all the same.
    """
    bound = lower_bound(groups)
    neighbours = _neighbours(groups)
    best: Packing | None = None
    for order in _orders(groups, attempts):
        packing = _first_fit(groups, order, neighbours, capacity, allowed)
        if packing is not None and (best is None or packing.peak < best.peak):
            best = packing
            if best.peak <= bound:
                break
        if stop():
            break
    return best


def _orders(groups: Sequence[Group], attempts: int) -> list[list[int]]:
    """Return the orders in which groups are placed: by size, by birth, and some at random."""
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


def _neighbours(groups: Sequence[Group]) -> list[list[tuple[int, int, int]]]:
    """Return for each group the forbidden distances to others: (other, lowest, highest) of place − other's place."""
    found: list[list[tuple[int, int, int]]] = [[] for _ in groups]
    for i, one in enumerate(groups):
        for j, other in enumerate(groups):
            if i == j:
                continue
            for a in one.blocks:
                for b in other.blocks:
                    if a.meets(b):
                        found[i].append((j, b.first - a.last, b.last - a.first))
    return found


def _first_fit(
    groups: Sequence[Group],
    order: list[int],
    neighbours: list[list[tuple[int, int, int]]],
    capacity: int,
    allowed: Callable[[str, int, str, int], bool] | None,
) -> Packing | None:
    places: dict[int, int] = {}
    peak = 0
    for index in order:
        group = groups[index]
        forbidden = sorted((places[j] + low, places[j] + high, j) for j, low, high in neighbours[index] if j in places)
        place = group.lowest if group.fixed is None else group.fixed
        for low, high, j in forbidden:
            if low <= place <= high:
                if allowed is not None and allowed(group.name, place, groups[j].name, places[j]):
                    continue
                if group.fixed is not None:
                    return None
                place = high + 1
        if place + group.height > capacity:
            return None
        places[index] = place
        peak = max(peak, place + group.height)
    return Packing({groups[i].name: place for i, place in places.items()}, peak)
