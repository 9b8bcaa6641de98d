"""First processors of classes, chosen such that data memories suffice and kernel memories are filled evenly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS
from ai8x_tool.mapper.classes import ProcessorClass
from ai8x_tool.network.layer import Layer, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes

STEP = 4
_INSTANCES = PROCESSORS // STEP
_Words = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Load:
    """Kernel columns that a layer needs in each of its processors; `positions` count from the start of its class."""

    positions: tuple[int, ...]
    columns: int


@dataclass(frozen=True)
class LiveRange:
    """Words that a value occupies in each of its instances, from step `born` to before step `dies`."""

    positions: tuple[int, ...]
    words: int
    born: int
    dies: int


@dataclass(frozen=True)
class ClassDemand:
    """Demand of a class's values, and of the layers that read them, for kernel memory and data memory.

    `copied`: some of these layers do not convolve; they write the words of the fullest quadrant in sequence.
    """

    extent: int
    loads: tuple[Load, ...] = ()
    live_ranges: tuple[LiveRange, ...] = ()
    copied: bool = False

    @property
    def weight(self) -> int:
        """Kernel columns over all processors."""
        return sum(len(load.positions) * load.columns for load in self.loads)


@dataclass
class Occupancy:
    """Occupancy by the classes already placed: kernel columns by processor, words by instance and step."""

    steps: int
    columns: list[int] = field(default_factory=lambda: [0] * PROCESSORS)
    words: _Words = field(init=False)

    def __post_init__(self) -> None:
        self.words = np.zeros((_INSTANCES, self.steps), np.int64)

    def add(self, demand: ClassDemand, start: int) -> None:
        """Place a class at processor `start`."""
        for load in demand.loads:
            for position in load.positions:
                self.columns[start + position] += load.columns
        for live_range in demand.live_ranges:
            self.words[_instances(live_range, start), live_range.born : live_range.dies] += live_range.words

    def score(self, demand: ClassDemand, start: int, capacity: int, *, fast: bool) -> tuple[int, int, int, int, int]:
        """Return the cost of a start: excess words, fullest processor, time slots, quadrant crossings, and the start.

        With `fast`, time slots precede the fullest processor.
        """
        own = [0] * demand.extent
        for load in demand.loads:
            for position in load.positions:
                own[position] += load.columns
        highest = max(self.columns[start + position] + columns for position, columns in enumerate(own))
        slots = _slots(start, demand.extent) if demand.copied else 0
        crossings = (start + demand.extent - 1) // 16 - start // 16
        excess = self._excess(demand, start, capacity)
        return excess, *((slots, highest) if fast else (highest, slots)), crossings, start

    def _excess(self, demand: ClassDemand, start: int, capacity: int) -> int:
        fullest = 0
        if demand.live_ranges:
            words = self.words.copy()
            for live_range in demand.live_ranges:
                words[_instances(live_range, start), live_range.born : live_range.dies] += live_range.words
            fullest = int(words.max())
        return max(0, fullest - capacity)


def _slots(start: int, extent: int) -> int:
    """Return the words of the fullest quadrant for `extent` processors from `start` on."""
    ends = [min(max(start + extent - 16 * quadrant, 0), 16) for quadrant in range(4)]
    firsts = [min(max(start - 16 * quadrant, 0), 16) for quadrant in range(4)]
    return max(-(-(end - first) // STEP) for end, first in zip(ends, firsts, strict=True))


def _instances(live_range: LiveRange, start: int) -> list[int]:
    return sorted({(start + position) // STEP for position in live_range.positions})


def kernel_columns(layer: Layer) -> int:
    """Return the columns of kernel memory that a layer needs in each of its processors if its output is aligned."""
    if not layer.has_weights:
        return 0
    area = layer.kernel[0] * layer.kernel[1]
    rounds = passes(layer.channels_in)
    if layer.depthwise:
        kernels = rounds
    else:
        outputs = layer.channels_out
        kernels = outputs * rounds * layer.flat_pixels
    return -(-kernels * area * abs(layer.bits) // (8 * COLUMN_BYTES))


def class_demands(
    network: Network, classes: Sequence[ProcessorClass], live_ranges: Mapping[Source, Sequence[LiveRange]]
) -> list[ClassDemand]:
    """Return the demand of each class; `live_ranges` are those of all values in data memory."""
    loads = class_loads(network, classes)
    found = []
    for each, own in zip(classes, loads, strict=True):
        data = tuple(live_range for source in each.offsets for live_range in live_ranges.get(source, ()))
        copied = any(not layer.is_convolution and layer.inputs[0] in each.offsets for layer in network.layers)
        found.append(ClassDemand(each.extent, tuple(own), data, copied))
    return found


def class_loads(network: Network, classes: Sequence[ProcessorClass]) -> list[list[Load]]:
    """Return for each class the kernels of the layers that read its values."""
    loads: list[list[Load]] = [[] for _ in classes]
    for layer in weight_owners(network):
        number = next(i for i, each in enumerate(classes) if layer.inputs[0] in each.offsets)
        loads[number].append(Load(classes[number].positions(layer), kernel_columns(layer)))
    return loads


def weight_owners(network: Network) -> list[Layer]:
    """Return the layers that store weights, in order; of those that share weights, the first one."""
    seen: set[str] = set()
    found = []
    for layer in network.layers:
        if layer.has_weights and (layer.shares is None or layer.shares not in seen):
            seen.add(layer.name)
            found.append(layer)
    return found


def assignments(
    demands: Sequence[ClassDemand], fixed: Mapping[int, int], words: int, attempts: int = 40
) -> Iterator[list[int]]:
    """Yield first processors for all classes, starting with the most balanced ones.

    `fixed` are the given ones, by class; `words` is the number of words of an instance.
    """
    weight = [demand.weight for demand in demands]
    data = [
        sum(live_range.words * len(live_range.positions) for live_range in demand.live_ranges) for demand in demands
    ]
    order = sorted(range(len(demands)), key=lambda i: (i not in fixed, -weight[i], -demands[i].extent))
    seen: set[tuple[int, ...]] = set()
    generator = random.Random(len(demands))
    for attempt in range(attempts):
        if attempt:
            # Every third attempt begins with the largest values, the others with the largest kernels.
            sizes = data if attempt % 3 == 2 else weight
            keys = {i: sizes[i] * (0.6 + 0.8 * generator.random()) for i in range(len(demands))}
            order = sorted(order, key=lambda i: (i not in fixed, -keys[i]))
        starts = _greedy(demands, fixed, words, order, generator if attempt else None)
        if tuple(starts) not in seen:
            seen.add(tuple(starts))
            yield starts


def has_room(demands: Sequence[ClassDemand], starts: Sequence[int], words: int) -> bool:
    """Return whether no instance needs more than `words` words at any step."""
    occupancy = _nothing_placed(demands)
    for demand, start in zip(demands, starts, strict=True):
        occupancy.add(demand, start)
    return bool(occupancy.words.max() <= words)


def least_words(demands: Sequence[ClassDemand]) -> int:
    """Return the words that some instance needs at some step wherever classes are: those of one class alone."""
    most = 0
    for demand in demands:
        occupancy = _nothing_placed([demand])
        occupancy.add(demand, 0)
        most = max(most, int(occupancy.words.max()))
    return most


def _nothing_placed(demands: Sequence[ClassDemand]) -> Occupancy:
    return Occupancy(1 + max((live.dies for demand in demands for live in demand.live_ranges), default=0))


def possible_starts(demand: ClassDemand) -> range:
    """Return the processors at which a class can start."""
    return range(0, PROCESSORS - demand.extent + 1, STEP)


def _greedy(
    demands: Sequence[ClassDemand],
    fixed: Mapping[int, int],
    words: int,
    order: Sequence[int],
    generator: random.Random | None,
) -> list[int]:
    occupancy = _nothing_placed(demands)
    starts = [0] * len(demands)
    for index in order:
        demand = demands[index]
        possible = [fixed[index]] if index in fixed else possible_starts(demand)
        scored = [occupancy.score(demand, start, words, fast=generator is None) for start in possible]
        best = min(scored)
        if generator is not None:
            best = generator.choice([entry for entry in scored if entry[:2] <= best[:2]])
        starts[index] = best[-1]
        occupancy.add(demand, best[-1])
    return starts
