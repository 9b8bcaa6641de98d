"""At which processors classes of values start, such that kernel memories are filled evenly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.mapper.classes import ProcessorClass
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes

_PROCESSORS = 64
_STEP = 4
_COLUMN_BITS = 72


@dataclass(frozen=True)
class Load:
    """Kernel columns that a layer needs in each of its processors, which are counted from its class's start."""

    positions: tuple[int, ...]
    columns: int


def kernel_columns(layer: Layer) -> int:
    """Return the columns of kernel memory that a layer needs in each of its processors, with aligned output."""
    if not layer.has_weights:
        return 0
    area = layer.kernel[0] * layer.kernel[1]
    rounds = passes(layer.channels_in)
    if layer.depthwise:
        kernels = rounds
    else:
        outputs = layer.channels_out
        kernels = outputs * rounds * layer.flat_pixels
    return -(-kernels * area * abs(layer.bits) // _COLUMN_BITS)


def class_loads(network: Network, classes: Sequence[ProcessorClass]) -> list[list[Load]]:
    """Return what kernel memories hold for each class."""
    loads: list[list[Load]] = [[] for _ in classes]
    seen: set[str] = set()
    for layer in network.layers:
        if not layer.has_weights or (layer.shares is not None and layer.shares in seen):
            continue
        seen.add(layer.name)
        source = layer.inputs[0]
        number = next(i for i, c in enumerate(classes) if source in c.offsets)
        loads[number].append(Load(classes[number].positions(network, layer), kernel_columns(layer)))
    return loads


def capacity(device: Device, processor: int) -> int:
    """Return the columns of a processor's kernel memory that layers over several processors can use."""
    return min(device.kernel_columns(processor), device.kernels_small)


def assignments(
    classes: Sequence[ProcessorClass],
    loads: Sequence[Sequence[Load]],
    fixed: Mapping[int, int],
    attempts: int = 40,
) -> Iterator[list[int]]:
    """Yield starts for all classes, the most even ones first; `fixed` are those that are given, by class."""
    weight = [sum(len(load.positions) * load.columns for load in each) for each in loads]
    order = sorted(range(len(classes)), key=lambda i: (i not in fixed, -weight[i], -classes[i].extent))
    seen: set[tuple[int, ...]] = set()
    generator = random.Random(len(classes))
    for attempt in range(attempts):
        if attempt:
            keys = {i: weight[i] * (0.6 + 0.8 * generator.random()) for i in order}
            order = sorted(order, key=lambda i: (i not in fixed, -keys[i]))
        starts = _greedy(classes, loads, fixed, order, generator if attempt else None)
        if tuple(starts) not in seen:
            seen.add(tuple(starts))
            yield starts


def _greedy(
    classes: Sequence[ProcessorClass],
    loads: Sequence[Sequence[Load]],
    fixed: Mapping[int, int],
    order: Sequence[int],
    generator: random.Random | None,
) -> list[int]:
    filled = [0] * _PROCESSORS
    starts = [0] * len(classes)
    for index in order:
        choices = [fixed[index]] if index in fixed else range(0, _PROCESSORS - classes[index].extent + 1, _STEP)
        scored = [(*_score(filled, loads[index], start, classes[index].extent), start) for start in choices]
        best = min(scored)
        if generator is not None:
            close = [entry for entry in scored if entry[0] <= best[0]]
            best = generator.choice(close)
        starts[index] = best[-1]
        for load in loads[index]:
            for position in load.positions:
                filled[best[-1] + position] += load.columns
    return starts


def _score(filled: list[int], loads: Sequence[Load], start: int, extent: int) -> tuple[int, int, int]:
    """Return the fullest processor, the borders of quadrants that a class straddles, and its start's columns."""
    own = [0] * extent
    for load in loads:
        for position in load.positions:
            own[position] += load.columns
    highest = max(filled[start + position] + columns for position, columns in enumerate(own))
    crossings = (start + extent - 1) // 16 - start // 16
    return highest, crossings, start
