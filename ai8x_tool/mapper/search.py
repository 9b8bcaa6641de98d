"""Finding a placement: input path, copies, processors, then offsets; judged by the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory, memory_blocks
from ai8x_tool.mapper.candidate import Candidate, candidate
from ai8x_tool.mapper.columns import stored_kernels, tight_assignments
from ai8x_tool.mapper.found import Found, Shortage, UnmappableError
from ai8x_tool.mapper.given import Given, given_of, streams_of, wanted_options
from ai8x_tool.mapper.interleave import interleave
from ai8x_tool.mapper.offsets import NO_OVERLAPS, Overlaps, Packing, lower_bound, necessary, pack
from ai8x_tool.mapper.overlap import trailing_overlaps
from ai8x_tool.mapper.paths import InputPath, input_paths
from ai8x_tool.mapper.shortage import data_shortage, layer_shortage, memory_shortage, structure_shortage
from ai8x_tool.mapper.starts import assignments, class_demands
from ai8x_tool.mapping.check import examine, violations
from ai8x_tool.mapping.mapping import Mapping, fill
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.mapping.replay import replay
from ai8x_tool.mapping.rules.data_rules import hint_trailing_overlap
from ai8x_tool.mapping.statistics import statistics
from ai8x_tool.network.layer import Source
from ai8x_tool.network.network import Network

_ATTEMPTS = 40
_EXTRA = 3
"""Further assignments of processors that are tried after one that fits."""
_HOPELESS = 8
"""Assignments after which the search ends if none of them has room for all values that live at a time."""
_TIGHT = 8
"""Assignments that are tried because all kernels fit with them."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Task:
    """What every step of the search needs to know.

    `overlap`: outputs may overwrite input that has been read, `last_resort`: only if nothing else fits.
    """

    device: Device
    options: MappingOptions
    expired: Callable[[], bool]
    last_resort: bool
    overlap: bool = False


def map_automatically(
    network: Network,
    device: Device,
    options: MappingOptions | None = None,
    *,
    given: Placement | None = None,
    path: InputPath | None = None,
    overlap: bool = True,
    seconds: float = 20.0,
    progress: Progress = lambda text: None,
) -> Found:
    """Return a placement of `network` with the fewest estimated cycles that was found within `seconds`.

    What is decided in `given` is kept, the rest is found. `path` is the way of the input, if it is given. With
    `overlap`, outputs overwrite input that has been read where nothing else fits. `progress` is called with what is
    tried next. Raises UnmappableError if there is no placement, naming what stood in the way.
    """
    begin = time.monotonic()
    asked = wanted_options(options, given)
    streams = streams_of(network, given)
    best: Found | None = None
    reasons: list[Shortage] = []
    for choice in input_paths(network, device, asked, path, chw=given is not None and given.chw):
        if best is not None and choice.streams > best.path.streams:
            break
        if streams is not None and choice.streams != streams:
            continue
        progress(choice.text if best is None else f"{choice.text}; best so far {best.cycles:,} cycles")
        task = _Task(device, replace(asked, fifo=choice.fifo), lambda: time.monotonic() - begin > seconds, overlap)
        found = _map_path(network, task, choice, given_of(given))
        if isinstance(found, Shortage):
            reasons.append(found)
        elif best is None or (found.cycles, found.peak) < (best.cycles, best.peak):
            best = found
        if task.expired():
            break
    if best is None:
        raise _unmappable(network, device, reasons)
    return replace(best, seconds=time.monotonic() - begin)


def _unmappable(network: Network, device: Device, reasons: list[Shortage]) -> UnmappableError:
    if not reasons:
        reasons = [Shortage("structure", "the input cannot reach the accelerator in the way that is given")]
    least = min(reasons, key=lambda shortage: shortage.excess)
    return UnmappableError(f"no placement was found on the {device.name}: {least}", least, where=network.name)


def _map_path(network: Network, task: _Task, path: InputPath, given: Given) -> Found | Shortage:
    """Return the best placement with one way of the input, or the reason why there is none."""
    streamed = frozenset(layer.name for layer in network.layers[: max(0, path.streams - 1)])
    try:
        interleaved = interleave(network, task.device, streamed)
        named = Given({interleaved.names.get(name, name): at for name, at in given.layers.items()})
        tried = candidate(interleaved, path, named)
        fixed = tried.fixed_starts()
        shortage = layer_shortage(tried, task.device)
        if shortage is not None:
            return shortage
        result = _assign(tried, task, fixed)
        if isinstance(result, Shortage) and result.resource == "data memory" and task.last_resort:
            result = _assign(tried, replace(task, overlap=True), fixed)
        return result
    except Ai8xError as error:
        return structure_shortage(error)


def _assign(tried: Candidate, task: _Task, fixed: dict[int, int]) -> Found | Shortage:
    """Try places for the classes of values."""
    best: Found | None = None
    problem: Shortage | None = None
    hopeless = 0
    seen: set[tuple[int, ...]] = set()
    for starts in _starts(tried, task, fixed):
        if tuple(starts) in seen:
            continue
        seen.add(tuple(starts))
        result = _place_all(tried, task, starts)
        if isinstance(result, Found):
            if best is None or (result.cycles, result.peak) < (best.cycles, best.peak):
                best = result
        else:
            problem = min(problem or result, result, key=lambda shortage: shortage.excess)
            hopeless += result.resource == "data memory" and result.excess > 1
        if task.expired() or (best is not None and len(seen) > _EXTRA) or hopeless == len(seen) == _HOPELESS:
            break
    assert best is not None or problem is not None
    return best or problem  # type: ignore[return-value]


def _starts(tried: Candidate, task: _Task, fixed: dict[int, int]) -> Iterator[list[int]]:
    """Yield places for the classes of values: even ones, then such that kernels fit, then others."""
    network, device = tried.network, task.device
    sketch = place(network, tried.placement([0] * len(tried.classes), {}), device, task.options)
    demands = class_demands(network, tried.classes, tried.stays(memory_blocks(sketch, tried.interleaved, tried.path)))
    words = device.instance_size // 4
    yield from assignments(demands, fixed, words, _EXTRA + 1)
    yield from islice(tight_assignments(stored_kernels(network, tried.classes), demands, fixed, device), _TIGHT)
    yield from assignments(demands, fixed, words, _ATTEMPTS)


def _place_all(tried: Candidate, task: _Task, starts: list[int]) -> Found | Shortage:
    """Return the placement with classes at `starts`, or what stands in its way."""
    device, network = task.device, tried.network
    placed = place(network, tried.placement(starts, {}), device, task.options)
    memory = _with_fixed(tried, memory_blocks(placed, tried.interleaved, tried.path))
    overlaps = trailing_overlaps(placed) if task.overlap else NO_OVERLAPS
    bound = lower_bound(memory.groups, overlaps)
    packing = _packed(memory, overlaps, bound, task)
    if packing is None:
        return data_shortage(network, memory, device, overlaps)
    placement = tried.placement(starts, _addresses(memory, packing))
    tried.given.check(network, placement)
    options = replace(task.options, overlap_data=True) if task.overlap else task.options
    problems = violations(network, placement, device, options)
    if problems:
        return memory_shortage(tried, device, problems[0])
    mapping = fill(place(network, placement, device, options))
    conflict = next(iter(replay(mapping)), None)
    if conflict is not None:
        return Shortage("structure", conflict.text(), where=conflict.where)
    return _found(tried, mapping, packing, bound, task)


def _packed(memory: Memory, overlaps: Overlaps, bound: int, task: _Task) -> Packing | None:
    """Return the places of all values, with overlaps only where there are too many at a time, if that suffices."""
    capacity = task.device.instance_size // 4
    if bound > capacity:
        return None
    needed = necessary(memory.groups, overlaps, capacity)
    packing = pack(memory.groups, capacity, overlaps=needed, stop=task.expired)
    if packing is None and len(needed) < len(overlaps):
        packing = pack(memory.groups, capacity, overlaps=overlaps, stop=task.expired)
    return packing


def _with_fixed(tried: Candidate, memory: Memory) -> Memory:
    skipped = {layer.name: tried.skipped(layer) for layer in tried.network.layers}
    fixed = tried.given.fixed_offsets(tried.network, memory, skipped)
    if not fixed:
        return memory
    groups = tuple(replace(group, fixed=fixed.get(group.name)) for group in memory.groups)
    return replace(memory, groups=groups)


def _found(tried: Candidate, mapping: Mapping, packing: Packing, bound: int, task: _Task) -> Found:
    return Found(
        network=tried.network,
        placement=mapping.placement,
        options=mapping.options,
        path=tried.path,
        copies=tried.interleaved.copies,
        cycles=statistics(mapping).cycles,
        peak=4 * packing.peak,
        peak_bound=4 * bound,
        seconds=0.0,
        trailing=tuple(_trailing(mapping)) if task.overlap else (),
    )


def _trailing(mapping: Mapping) -> Iterator[str]:
    """Yield the layers whose output overlaps the place of their own input."""
    for remark in examine(mapping.network, mapping.placement, mapping.device, mapping.options):
        if remark.rule == hint_trailing_overlap.__name__:
            yield remark.where


def _addresses(memory: Memory, packing: Packing) -> dict[Source, int]:
    return {source: memory.address(packing.places, source) for source in memory.values}
