"""First processors of classes chosen by a beam search for the storage of kernels.

Kernels are stored first-fit, layer by layer, at the same columns of all processors. Kernel memory is a strip of 64
processors; each layer is a rectangle in it, whose first processor can be chosen and whose first column follows. After
each layer, the best of many partly filled strips are kept. Processors are considered in groups of four, because classes
start at multiples of four; a group that a layer fills partly counts as full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS
from ai8x_tool.mapper.classes import ProcessorClass
from ai8x_tool.mapper.starts import STEP, ClassDemand, kernel_columns, possible_starts, weight_owners
from ai8x_tool.network.network import Network

_WIDTH = 64
"""Beam width: strips kept after each layer."""
_ALIGNMENT = 4
"""Kernels start at a multiple of this number of columns."""
_Strip = tuple[int, ...]
"""The columns in use of each group of processors, as bits."""


class Kernels(NamedTuple):
    """The kernels of one layer.

    `number` is the class of its input, `groups` are its groups of processors from the class's start on, and
    `columns` is the number of columns.
    """

    number: int
    groups: tuple[int, ...]
    columns: int


class _State(NamedTuple):
    starts: tuple[tuple[int, int], ...]
    strip: _Strip


def stored_kernels(network: Network, classes: Sequence[ProcessorClass]) -> list[Kernels]:
    """Return the kernels of all layers in the order in which they are stored."""
    found = []
    for layer in weight_owners(network):
        number = next(i for i, each in enumerate(classes) if layer.inputs[0] in each.offsets)
        positions = classes[number].positions(layer)
        groups = tuple(sorted({position // STEP for position in positions}))
        found.append((len(positions) < PROCESSORS, Kernels(number, groups, kernel_columns(layer))))
    return [kernels for _, kernels in sorted(found, key=lambda entry: entry[0])]


def tight_assignments(
    kernels: Sequence[Kernels], demands: Sequence[ClassDemand], fixed: Mapping[int, int], device: Device
) -> Iterator[list[int]]:
    """Yield first processors of all classes with which all kernels fit: the best ones by each of several measures."""
    for measure in (partial(_step_cost, weight=24), _roughness, partial(_step_cost, weight=60)):
        state = _best(kernels, demands, fixed, device.kernels_small, measure)
        if state is not None:
            known = dict(state.starts)
            yield [known.get(number, 0) for number in range(len(demands))]


def _best(
    kernels: Sequence[Kernels],
    demands: Sequence[ClassDemand],
    fixed: Mapping[int, int],
    limit: int,
    measure: Callable[[_Strip], tuple[int, int]],
) -> _State | None:
    states = [_State(tuple(sorted(fixed.items())), (0,) * (PROCESSORS // STEP))]
    for entry in kernels:
        following: dict[_Strip, tuple[tuple[int, int], _State]] = {}
        for state in states:
            known = dict(state.starts)
            possible = [known[entry.number]] if entry.number in known else possible_starts(demands[entry.number])
            for start in possible:
                strip = _stored(state.strip, entry, start // STEP, limit)
                if strip is not None and strip not in following:
                    starts = tuple(sorted({**known, entry.number: start}.items()))
                    following[strip] = measure(strip), _State(starts, strip)
        if not following:
            return None
        ranked = sorted(following.values(), key=lambda pair: (pair[0], pair[1].starts))
        states = [state for _, state in ranked[:_WIDTH]]
    return states[0]


def _stored(strip: _Strip, entry: Kernels, start: int, limit: int) -> _Strip | None:
    """Return the strip with one more layer stored; None if it does not fit."""
    taken = 0
    for group in entry.groups:
        taken |= strip[start + group]
    offset, window = 0, (1 << entry.columns) - 1
    while blocked := taken >> offset & window:
        offset = -(-(offset + blocked.bit_length()) // _ALIGNMENT) * _ALIGNMENT
    if offset + entry.columns > limit:
        return None
    result = list(strip)
    for group in entry.groups:
        result[start + group] |= window << offset
    return tuple(result)


def _ends(strip: _Strip) -> list[int]:
    return [columns.bit_length() for columns in strip]


def _lost(strip: _Strip) -> int:
    """Return the number of free columns below used ones."""
    return sum(columns.bit_length() - columns.bit_count() for columns in strip)


def _step_cost(strip: _Strip, weight: int) -> tuple[int, int]:
    """Return the lost columns plus `weight` for each step between neighboring groups; then the squares of the ends."""
    ends = _ends(strip)
    return _lost(strip) + weight * sum(a != b for a, b in pairwise(ends)), sum(end * end for end in ends)


def _roughness(strip: _Strip) -> tuple[int, int]:
    """Return the lost columns and the differences between neighboring groups; then the highest end."""
    ends = _ends(strip)
    return 2 * _lost(strip) + sum(abs(a - b) for a, b in pairwise(ends)), max(ends)
