"""Finding a placement: input path, copies, processors, then offsets; judged by the rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory, memory_blocks
from ai8x_tool.mapper.classes import ProcessorClass, processor_classes, value_width
from ai8x_tool.mapper.interleave import Interleaved, interleave
from ai8x_tool.mapper.offsets import Packing, lower_bound, pack
from ai8x_tool.mapper.paths import InputPath, input_paths
from ai8x_tool.mapper.starts import assignments, class_loads
from ai8x_tool.mapping.check import Violation, violations
from ai8x_tool.mapping.mapping import Mapping, fill
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.placement import BufferPlacement, LayerPlacement, Placement
from ai8x_tool.mapping.statistics import statistics
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network

_ATTEMPTS = 40


@dataclass(frozen=True)
class Found:
    """A placement that no rule objects to.

    `network` has copies that the given one does not have, `copies` are their names. `peak` are the bytes that the
    fullest data-memory instance holds, `peak_bound` those that some instance must hold in this order with these copies.
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


class UnmappableError(Ai8xError):
    """No placement was found. `violation` is what stood in the way of the last one that was tried, if any."""

    def __init__(self, message: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(message, where=where, fix=fix)


@dataclass(frozen=True)
class _Candidate:
    """Everything that is decided before processors and offsets."""

    interleaved: Interleaved
    classes: list[ProcessorClass]
    path: InputPath

    @property
    def network(self) -> Network:
        return self.interleaved.network

    def class_of(self, source: Source) -> int:
        return next(i for i, each in enumerate(self.classes) if source in each.offsets)


def map_automatically(
    network: Network,
    device: Device,
    options: MappingOptions | None = None,
    *,
    path: InputPath | None = None,
    chw: bool = False,
    seconds: float = 20.0,
) -> Found:
    """Return a placement of `network` with the fewest estimated cycles that was found within `seconds`.

    `path` is the way of the input, if it is given; with `chw` only those of CHW input are tried. Raises UnmappableError
    if there is no placement, naming what stood in the way.
    """
    begin = time.monotonic()
    best: Found | None = None
    reasons: list[str] = []
    for choice in input_paths(network, device, options, path, chw=chw):
        if best is not None and choice.streams > best.path.streams:
            break
        chosen = replace(options or MappingOptions(), fifo=choice.fifo)
        try:
            found = _map_path(network, device, chosen, choice, lambda: time.monotonic() - begin > seconds)
        except Ai8xError as error:
            reasons.append(f"{choice.text}: {error}")
            continue
        if best is None or (found.cycles, found.peak) < (best.cycles, best.peak):
            best = found
    if best is None:
        raise UnmappableError(f"no placement was found on the {device.name}: {reasons[0]}", where=network.name)
    return replace(best, seconds=time.monotonic() - begin)


def _map_path(
    network: Network, device: Device, options: MappingOptions, path: InputPath, expired: Callable[[], bool]
) -> Found:
    streamed = frozenset(layer.name for layer in network.layers[: max(0, path.streams - 1)])
    interleaved = interleave(network, device, streamed)
    classes = processor_classes(interleaved.network)
    candidate = _Candidate(interleaved, _with_pattern(interleaved.network, classes, path), path)
    best: Found | None = None
    problem: str | None = None
    fixed = {candidate.class_of(INPUT): 0} if path.fifo else {}
    loads = class_loads(candidate.network, candidate.classes)
    for number, starts in enumerate(assignments(candidate.classes, loads, fixed, _ATTEMPTS)):
        result = _place_all(candidate, device, options, starts, expired)
        if isinstance(result, Found):
            if best is None or (result.cycles, result.peak) < (best.cycles, best.peak):
                best = result
            if number >= _EXTRA:
                break
        else:
            problem = problem or str(result)
        if expired():
            break
    if best is None:
        raise UnmappableError(problem or "nothing was tried")
    return best


_EXTRA = 3
"""Further assignments of processors that are tried after one that fits."""


def _with_pattern(network: Network, classes: list[ProcessorClass], path: InputPath) -> list[ProcessorClass]:
    if not path.pattern:
        return classes
    result = []
    for each in classes:
        alike = all(
            offset == 0 and value_width(network, source) == len(path.pattern) for source, offset in each.offsets.items()
        )
        if INPUT in each.offsets and not alike:
            raise UnmappableError("other values must lie at the processors of the input")
        pattern = path.pattern if INPUT in each.offsets else ()
        result.append(ProcessorClass(each.offsets, path.pattern[-1] + 1, pattern) if pattern else each)
    return result


def _place_all(
    candidate: _Candidate, device: Device, options: MappingOptions, starts: list[int], expired: Callable[[], bool]
) -> Found | Violation | str:
    """Return the placement with classes at `starts`, or what stands in its way."""
    network, path = candidate.network, candidate.path
    sketch = _placement(candidate, starts, {})
    placed = place(network, sketch, device, options)
    memory = memory_blocks(placed, candidate.interleaved, path)
    capacity = device.instance_size // 4
    bound = lower_bound(memory.groups)
    if bound > capacity:
        return f"data memory: {4 * bound:,} bytes are needed at a time, an instance holds {device.instance_size:,}"
    packing = pack(memory.groups, capacity, stop=expired)
    if packing is None:
        return "data memory: no place for all values was found"
    placement = _placement(candidate, starts, _addresses(memory, packing))
    found = violations(network, placement, device, options)
    if found:
        return found[0]
    mapping = fill(place(network, placement, device, options))
    return _found(candidate, placement, mapping, packing, bound)


def _found(candidate: _Candidate, placement: Placement, mapping: Mapping, packing: Packing, bound: int) -> Found:
    return Found(
        network=candidate.network,
        placement=placement,
        options=mapping.options,
        path=candidate.path,
        copies=candidate.interleaved.copies,
        cycles=statistics(mapping).cycles,
        peak=4 * packing.peak,
        peak_bound=4 * bound,
        seconds=0.0,
    )


def _addresses(memory: Memory, packing: Packing) -> dict[Source, int]:
    return {source: memory.address(packing.places, source) for source in memory.values}


def _placement(candidate: _Candidate, starts: list[int], addresses: dict[Source, int]) -> Placement:
    network, path = candidate.network, candidate.path
    layers = {}
    for number, layer in enumerate(network.layers):
        layers[layer.name] = LayerPlacement(
            processors=_processors(candidate, starts, layer),
            output_processors=_map(candidate, starts, layer.name),
            in_offset=4 * (addresses.get(layer.inputs[0], 0) + _skipped(candidate, layer)),
            out_offset=4 * addresses.get(layer.name, 0),
            write_gap=candidate.interleaved.gaps.get(layer.name, 0),
            read_gap=candidate.interleaved.read_gap(layer),
            streaming=number < path.streams,
        )
    buffer = None
    if network.buffer is not None:
        buffer = BufferPlacement(_map(candidate, starts, BUFFER), 4 * addresses.get(BUFFER, 0))
    return Placement(layers, tuple(layer.name for layer in network.layers), chw=path.chw, buffer=buffer)


def _skipped(candidate: _Candidate, layer: Layer) -> int:
    """Return the words by which a layer begins to read after the start of its first input."""
    gap = candidate.interleaved.gaps.get(layer.inputs[0], 0) + 1
    if layer.buffer_shift and candidate.network.buffer is not None:
        return layer.buffer_shift * candidate.network.buffer.size[1]
    rounds = -(-layer.channels_in // 64)
    return layer.in_crop[0] * layer.in_size[1] * rounds * gap


def _map(candidate: _Candidate, starts: list[int], source: Source) -> int:
    number = candidate.class_of(source)
    return candidate.classes[number].map_of(candidate.network, source, starts[number])


def _processors(candidate: _Candidate, starts: list[int], layer: Layer) -> int:
    number = candidate.class_of(layer.inputs[0])
    positions = candidate.classes[number].positions(candidate.network, layer)
    return sum(1 << starts[number] + position for position in positions)
