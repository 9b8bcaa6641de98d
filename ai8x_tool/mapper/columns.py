"""Starts of classes chosen for how kernels are stored: first fit, layer by layer, the same columns everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.mapper.classes import ProcessorClass
from ai8x_tool.mapper.starts import PROCESSORS, ClassDemand, capacity, choices, kernel_columns, owners
from ai8x_tool.network.network import Network

_WIDTH = 48
"""States that are kept after each layer."""


class Kernels(NamedTuple):
    """The kernels of one layer: the class of its input, its processors from the class's start, and their columns."""

    number: int
    positions: tuple[int, ...]
    columns: int


class _State(NamedTuple):
    starts: tuple[tuple[int, int], ...]
    used: tuple[int, ...]
    """The columns in use of each processor, as bits."""


def stored_kernels(network: Network, classes: Sequence[ProcessorClass]) -> list[Kernels]:
    """Return the kernels of all layers in the order in which they are stored."""
    found = []
    for layer in owners(network):
        number = next(i for i, each in enumerate(classes) if layer.inputs[0] in each.offsets)
        found.append(Kernels(number, classes[number].positions(network, layer), kernel_columns(layer)))
    return sorted(found, key=lambda kernels: len(kernels.positions) < PROCESSORS)


def tight_assignments(
    kernels: Sequence[Kernels], demands: Sequence[ClassDemand], fixed: Mapping[int, int], device: Device
) -> Iterator[list[int]]:
    """Yield starts with which all kernels fit, found by keeping the best states after each layer."""
    sizes = [capacity(device, processor) for processor in range(PROCESSORS)]
    states = [_State(tuple(sorted(fixed.items())), (0,) * PROCESSORS)]
    for entry in kernels:
        following: dict[tuple[int, ...], tuple[tuple[int, int], _State]] = {}
        for state in states:
            known = dict(state.starts)
            possible = [known[entry.number]] if entry.number in known else choices(demands[entry.number])
            for start in possible:
                used = _stored(state.used, entry, start, sizes)
                if used is not None:
                    starts = tuple(sorted({**known, entry.number: start}.items()))
                    following.setdefault(used, (_key(used), _State(starts, used)))
        ranked = sorted(following.values(), key=lambda pair: (pair[0], pair[1].starts))
        states = [state for _, state in ranked[:_WIDTH]]
    for state in states:
        known = dict(state.starts)
        yield [known.get(number, 0) for number in range(len(demands))]


def _stored(used: tuple[int, ...], entry: Kernels, start: int, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """Return the columns in use with one more layer, None if it does not fit."""
    processors = [start + position for position in entry.positions]
    taken = 0
    for processor in processors:
        taken |= used[processor]
    offset, limit = 0, min(sizes[processor] for processor in processors)
    window = (1 << entry.columns) - 1
    while taken >> offset & window:
        blocked = taken >> offset & window
        offset = -(-(offset + blocked.bit_length()) // 4) * 4
    if offset + entry.columns > limit:
        return None
    result = list(used)
    for processor in processors:
        result[processor] |= window << offset
    return tuple(result)


def _key(used: tuple[int, ...]) -> tuple[int, int]:
    """Return how bad a state is: columns that are lost below others, then how unevenly the rest is spread."""
    ends = [columns.bit_length() for columns in used]
    lost = sum(end - columns.bit_count() for end, columns in zip(ends, used, strict=True))
    return lost + max(ends) * 4, sum(end * end for end in ends)
