"""Exact packing of data memory by branch and bound: finds packings that first-fit misses, or proves that none exists.

Every packing can be compacted until each group rests on the ground or on another group. Groups are therefore placed in
the order of their places, each as low as its predecessors allow. A branch is cut off as soon as the remaining groups
cannot fit above the lowest place that is still open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ai8x_tool.mapper.offsets import Group, Packing

_FAR = 1 << 40


@dataclass(frozen=True)
class ExactResult:
    """The packing, or None if none was found; with `complete` the search was exhaustive: None proves infeasibility."""

    packing: Packing | None
    complete: bool


@dataclass(frozen=True)
class _Shape:
    """A group and the columns that it covers (a column is an instance at a step): its first word and end in each."""

    index: int
    columns: tuple[int, ...]
    firsts: tuple[int, ...]
    ends: tuple[int, ...]
    lowest: int

    @property
    def size(self) -> int:
        """Sum of the words of all columns."""
        return sum(self.ends) - sum(self.firsts)


def pack_exactly(
    groups: Sequence[Group],
    capacity: int,
    *,
    nodes: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
) -> ExactResult:
    """Return the places of all groups within `capacity` words, after at most `nodes` nodes of each search tree.

    Groups with a given place are not supported: the result is then not complete.
    """
    if any(group.fixed is not None for group in groups):
        return ExactResult(None, complete=False)
    shapes = _shapes(groups)
    # The time of a search depends on which group is tried first: hence several short searches, then long ones.
    for limit in (nodes // 10, nodes):
        for order in _ORDERS:
            search = _Search(sorted(shapes, key=order), capacity, limit, stop)
            found = search.run()
            if found is not None:
                places = {groups[index].name: place for index, place in found.items()}
                peak = max(place + groups[index].height for index, place in found.items())
                return ExactResult(Packing(places, peak), complete=True)
            if search.complete:
                return ExactResult(None, complete=True)
            if stop():
                return ExactResult(None, complete=False)
    return ExactResult(None, complete=False)


class _Search:
    """Depth-first search that keeps the height and the words still to be placed of each column."""

    def __init__(self, shapes: Sequence[_Shape], capacity: int, nodes: int, stop: Callable[[], bool]) -> None:
        self.capacity = capacity
        self.nodes = nodes
        self.stop = stop
        self.complete = True
        self.shapes = shapes
        count = 1 + max((column for shape in self.shapes for column in shape.columns), default=-1)
        self.heights = [0] * count
        self.left = [0] * count
        for shape in self.shapes:
            for column, first, end in zip(shape.columns, shape.firsts, shape.ends, strict=True):
                self.left[column] += end - first
        self.places: dict[int, int] = {}

    def run(self) -> dict[int, int] | None:
        """Return the place of every group; None if no packing was found."""
        return dict(self.places) if self._extend(frozenset(range(len(self.shapes))), 0, -1) else None

    def _extend(self, open_: frozenset[int], floor: int, last: int) -> bool:
        """Place the remaining groups, none of them below `floor`; those at the floor in the order of the list."""
        if not open_:
            return True
        self.nodes -= 1
        if self.nodes < 0 or self.stop():
            self.complete = False
            return False
        ceiling = min((self.capacity - left for left in self.left if left), default=_FAR)
        columns = zip(self.heights, self.left, strict=True)
        if floor > ceiling or any(left and max(height, floor) + left > self.capacity for height, left in columns):
            return False
        for place, number in self._candidates(open_, floor, last):
            if place > ceiling:
                break
            shape = self.shapes[number]
            before = [self.heights[column] for column in shape.columns]
            self._place(shape, place)
            if self._extend(open_ - {number}, place, number):
                return True
            self._remove(shape, before)
            if not self.complete:
                return False
        return False

    def _candidates(self, open_: frozenset[int], floor: int, last: int) -> list[tuple[int, int]]:
        """Return (place, group) of all groups that can be placed next: lowest place first, then in the list's order."""
        found = []
        for number in open_:
            shape, heights = self.shapes[number], self.heights
            place = shape.lowest
            for column, first in zip(shape.columns, shape.firsts, strict=True):
                place = max(place, heights[column] - first)
            if place > floor or (place == floor and number > last):
                found.append((place, number))
        return sorted(found)

    def _place(self, shape: _Shape, place: int) -> None:
        for column, first, end in zip(shape.columns, shape.firsts, shape.ends, strict=True):
            self.heights[column] = place + end
            self.left[column] -= end - first
        self.places[shape.index] = place

    def _remove(self, shape: _Shape, before: Sequence[int]) -> None:
        for column, first, end, height in zip(shape.columns, shape.firsts, shape.ends, before, strict=True):
            self.heights[column] = height
            self.left[column] += end - first
        del self.places[shape.index]


_ORDERS: tuple[Callable[[_Shape], tuple[int, int]], ...] = (
    lambda shape: (-shape.size, shape.index),
    lambda shape: (-len(shape.columns), -shape.size),
    lambda shape: (-max(shape.ends), -shape.size),
    lambda shape: (shape.columns[0], -shape.size),
)


def _shapes(groups: Sequence[Group]) -> list[_Shape]:
    """Return the groups as shapes over the distinct columns of instances and steps."""
    births = sorted({block.born for group in groups for block in group.blocks})
    masks = sorted({block.instances for group in groups for block in group.blocks})
    instances = {tuple(mask >> i & 1 for mask in masks): i for i in range(64)}
    kinds = [i for kind, i in instances.items() if any(kind)]
    columns: dict[tuple[tuple[int, ...], ...], int] = {}
    extents: list[dict[int, tuple[int, int]]] = [{} for _ in groups]
    for time in births:
        for instance in kinds:
            here = {}
            for number, group in enumerate(groups):
                blocks = [b for b in group.blocks if b.born <= time <= b.dies and b.instances >> instance & 1]
                if blocks:
                    here[number] = min(b.first for b in blocks), max(b.last for b in blocks) + 1
            key = tuple((number, *extent) for number, extent in here.items())
            if key and key not in columns:
                columns[key] = len(columns)
                for number, extent in here.items():
                    extents[number][columns[key]] = extent
    return [
        _Shape(
            index=i,
            columns=tuple(extents[i]),
            firsts=tuple(first for first, _ in extents[i].values()),
            ends=tuple(end for _, end in extents[i].values()),
            lowest=groups[i].lowest,
        )
        for i in range(len(groups))
    ]
