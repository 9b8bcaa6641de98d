"""Finding a placement: input path, copies, processors, then offsets; judged by the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory, memory_blocks
from ai8x_tool.mapper.candidate import Candidate, candidate
from ai8x_tool.mapper.columns import stored_kernels, tight_assignments
from ai8x_tool.mapper.found import CertainShortage, Found, Shortage, UnmappableError
from ai8x_tool.mapper.given import Given, given_of, layout_of, streams_of, wanted_options
from ai8x_tool.mapper.interleave import Interleaved, interleave
from ai8x_tool.mapper.moves import with_moves
from ai8x_tool.mapper.offsets import NO_OVERLAPS, Packing
from ai8x_tool.mapper.order import with_lower_peak
from ai8x_tool.mapper.overlap import trailing_overlaps
from ai8x_tool.mapper.packing import Packed, pack_values
from ai8x_tool.mapper.parallel import with_parallel_outputs
from ai8x_tool.mapper.paths import InputPath, input_paths
from ai8x_tool.mapper.shortage import (
    data_shortage,
    has_larger_value,
    kernel_shortage,
    layer_shortage,
    memory_shortage,
    structure_shortage,
)
from ai8x_tool.mapper.starts import assignments, class_demands
from ai8x_tool.mapping.check import examine, violations
from ai8x_tool.mapping.mapping import Mapping, fill
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.mapping.replay import replay
from ai8x_tool.mapping.rules.data_rules import hint_overlapping_tail
from ai8x_tool.mapping.statistics import statistics
from ai8x_tool.network.layer import Source
from ai8x_tool.network.network import Network

_ATTEMPTS = 40
_EXTRA = 3
"""Further assignments of processors that are tried after one that fits."""
_HOPELESS = 8
"""Assignments after which the search ends if none of them has room for all values that live at a time; half of them
suffice if they make no difference."""
_THOROUGH = 4
"""Assignments whose values are packed by exhaustive search if first fit has found no place for them."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Task:
    """What every step of the search needs to know.

    `overlap`: outputs may overwrite input that has been read, `last_resort`: only if nothing else fits; `first`: any
    placement will do.
    """

    device: Device
    options: MappingOptions
    expired: Callable[[], bool]
    last_resort: bool
    overlap: bool = False
    first: bool = False


def map_automatically(
    network: Network,
    device: Device,
    options: MappingOptions | None = None,
    *,
    given: Placement | None = None,
    path: InputPath | None = None,
    overlap: bool = True,
    parallel: bool = False,
    moves: bool = False,
    first: bool = False,
    seconds: float = 20.0,
    progress: Progress = lambda text: None,
) -> Found:
    """Return a placement of `network` with the fewest estimated cycles that was found within `seconds`.

    They are seconds of processor time, so that other work on the machine does not change what is found.
    What is decided in `given` is kept, the rest is found. `path` is the way of the input, if it is given. With
    `overlap`, outputs overwrite input that has been read where nothing else fits; with `parallel`, layers compute four
    outputs at a time where they can; with `moves`, 1×1 convolutions of constant weights are inserted where data must be
    moved for a layer to read them, weights get more bits where so few cannot be stored, and branches run in another
    order if nothing fits otherwise. With `first`, the search ends with the first placement. `progress` is called with
    what is tried next. Raises UnmappableError if there is no placement, naming what stood in the way.
    """
    begin = time.process_time()
    network = _readable(network, device) if moves else network
    asked = wanted_options(options, given)
    streams = streams_of(network, given)
    best: Found | None = None
    reasons: list[Shortage] = []
    for choice in input_paths(network, device, asked, path, chw=layout_of(given)):
        if best is not None and choice.streams > best.path.streams:
            break
        if streams is not None and choice.streams != streams:
            continue
        progress(choice.text if best is None else f"{choice.text}; best so far {best.cycles:,} cycles")
        chosen = replace(asked, fifo=choice.fifo)
        task = _Task(device, chosen, lambda: time.process_time() - begin > seconds, overlap, first=first)
        found = _map_path(network, task, choice, given_of(given))
        if isinstance(found, Shortage):
            reasons.append(found)
        elif best is None or _rank(found) < _rank(best):
            best = found
        if task.expired() or (first and best is not None):
            break
    if best is None:
        failure = _unmappable(network, device, reasons)
        other = with_lower_peak(network) if moves and failure.shortage.resource == "data memory" else None
        left = begin + seconds - time.process_time()
        if other is None or left <= 0:
            raise failure
        progress("another order of branches")
        try:
            best = map_automatically(other, device, options, path=path, overlap=overlap, first=first, seconds=left)
        except UnmappableError:
            raise failure from None
    if parallel:
        best = with_parallel_outputs(best, device, lambda: time.process_time() - begin > seconds)
    return replace(best, seconds=time.process_time() - begin)


def _readable(network: Network, device: Device) -> Network:
    """Return the network with what must be moved for its layers to read it."""
    try:
        return with_moves(network, device)
    except Ai8xError as error:
        raise _unmappable(network, device, [structure_shortage(error)]) from None


def _unmappable(network: Network, device: Device, reasons: list[Shortage]) -> UnmappableError:
    if not reasons:
        reasons = [Shortage("structure", "the input cannot reach the accelerator in the way that is given")]
    least = min(reasons, key=lambda shortage: shortage.excess)
    return UnmappableError(f"no placement was found on the {device.name}: {least}", least, where=network.name)


def _map_path(network: Network, task: _Task, path: InputPath, given: Given) -> Found | Shortage:
    """Return the best placement with one way of the input, or the reason why there is none."""
    streamed = frozenset(layer.name for layer in network.layers[: max(0, path.streams - 1)])
    hopeless = has_larger_value(network, path, task.device)
    overlaps = (False, True)[: 1 + task.last_resort]
    try:
        late = interleave(network, task.device, streamed)
        soon = late if hopeless else interleave(network, task.device, streamed, early=True)
        variants = [late] if soon.network == late.network else [late, soon]
        result: Found | Shortage | None = None
        for overlap in overlaps[-1:] if hopeless else overlaps:
            for interleaved in variants:
                result = _map_interleaved(interleaved, replace(task, overlap=overlap), path, given)
                if isinstance(result, Found) or result.resource != "data memory" or task.expired():
                    return result
        assert result is not None
        return result
    except Ai8xError as error:
        return structure_shortage(error)


def _map_interleaved(interleaved: Interleaved, task: _Task, path: InputPath, given: Given) -> Found | Shortage:
    named = Given({interleaved.names.get(name, name): at for name, at in given.layers.items()})
    tried = candidate(interleaved, path, named)
    shortage = layer_shortage(tried, task.device) or kernel_shortage(tried, task.device)
    return _assign(tried, task, tried.fixed_starts()) if shortage is None else shortage


def _assign(tried: Candidate, task: _Task, fixed: dict[int, int]) -> Found | Shortage:
    """Try places for the classes of values."""
    best: tuple[Found, list[int]] | None = None
    failed: list[tuple[Shortage, list[int]]] = []
    seen: set[tuple[int, ...]] = set()
    for number, starts in enumerate(_starts(tried, task, fixed, failed)):
        result = None if tuple(starts) in seen else _place_all(tried, task, starts)
        seen.add(tuple(starts))
        if isinstance(result, Found) and (best is None or _rank(result) < _rank(best[0])):
            result = _replayed(result, task)
            best = (result, starts) if isinstance(result, Found) else best
        if isinstance(result, Shortage):
            failed.append((result, starts))
        enough = best is not None and (task.first or number >= _EXTRA)
        if task.expired() or enough or _is_hopeless(failed, len(seen)):
            break
    if best is not None:
        return best[0] if task.first or best[0].peak <= best[0].peak_bound else _searched(tried, task, best[1], best[0])
    for shortage, starts in sorted(failed, key=lambda entry: entry[0].excess)[:_THOROUGH]:
        if shortage.resource == "data memory" and shortage.excess <= 1 and not task.expired():
            result = _replayed(_place_all(tried, task, starts, thorough=True), task)
            if isinstance(result, Found):
                return result
    return min((shortage for shortage, _ in failed), key=lambda shortage: shortage.excess)


def _rank(found: Found) -> tuple[int, int, int]:
    """Return what placements are compared by: cycles, memory, and the words of an input that has to be stored."""
    channels, rows, columns = found.network.input_shape
    groups, pixels = -(-channels // 4), rows * columns
    words = -(-pixels // 4) * channels if found.path.chw else pixels * groups
    return found.cycles, found.peak, words


def _searched(tried: Candidate, task: _Task, starts: list[int], best: Found) -> Found:
    """Return the same placement with values packed as well as possible."""
    result = _replayed(_place_all(tried, task, starts, thorough=True), task)
    return result if isinstance(result, Found) and result.cycles <= best.cycles else best


def _replayed(result: Found | Shortage, task: _Task) -> Found | Shortage:
    """Return a placement if the replay of all reads and writes agrees, else what it found."""
    if isinstance(result, Shortage):
        return result
    mapping = fill(place(result.network, result.placement, task.device, result.options))
    conflict = next(iter(replay(mapping)), None)
    return result if conflict is None else Shortage("structure", conflict.text(), where=conflict.where)


def _is_hopeless(failed: list[tuple[Shortage, list[int]]], tried: int) -> bool:
    """Return whether too many values live at a time wherever they were, or would be."""
    if failed and isinstance(failed[-1][0], CertainShortage):
        return True
    needed = [shortage.needed for shortage, _ in failed if shortage.resource == "data memory" and shortage.excess > 1]
    enough = _HOPELESS if len(set(needed)) > 1 else _HOPELESS // 2
    return len(needed) == tried >= enough


def _starts(
    tried: Candidate, task: _Task, fixed: dict[int, int], failed: list[tuple[Shortage, list[int]]]
) -> Iterator[list[int]]:
    """Yield places for the classes of values: even ones, then such that kernels fit if they did not, then others."""
    network, device = tried.network, task.device
    sketch = place(network, tried.placement([0] * len(tried.classes), {}), device, task.options)
    demands = class_demands(network, tried.classes, tried.stays(memory_blocks(sketch, tried.interleaved, tried.path)))
    words = device.instance_size // 4
    yield from assignments(demands, fixed, words, _EXTRA + 1)
    if any(shortage.resource == "kernel memory" for shortage, _ in failed):
        yield from tight_assignments(stored_kernels(network, tried.classes), demands, fixed, device)
    yield from assignments(demands, fixed, words, _ATTEMPTS)


def _place_all(tried: Candidate, task: _Task, starts: list[int], *, thorough: bool = False) -> Found | Shortage:
    """Return the placement with classes at `starts`, or what stands in its way."""
    device, network = task.device, tried.network
    placed = place(network, tried.placement(starts, {}), device, task.options)
    memory = _with_fixed(tried, memory_blocks(placed, tried.interleaved, tried.path))
    overlaps = trailing_overlaps(placed) if task.overlap else NO_OVERLAPS
    words = device.instance_size // 4
    packed = pack_values(memory.groups, words, overlaps, thorough=thorough, stop=task.expired)
    if packed.packing is None:
        return data_shortage(network, memory, device, packed.demand, overlaps)
    placement = tried.placement(starts, _addresses(memory, packed.packing))
    tried.given.check(network, placement)
    options = replace(task.options, overlap_data=True) if task.overlap else task.options
    problems = violations(network, placement, device, options)
    if problems:
        return memory_shortage(tried, device, problems[0])
    mapping = fill(place(network, placement, device, options))
    return _found(tried, mapping, packed, task)


def _with_fixed(tried: Candidate, memory: Memory) -> Memory:
    skipped = {layer.name: tried.skipped(layer) for layer in tried.network.layers}
    fixed = tried.given.fixed_offsets(tried.network, memory, skipped)
    if not fixed:
        return memory
    groups = tuple(replace(group, fixed=fixed.get(group.name)) for group in memory.groups)
    return replace(memory, groups=groups)


def _found(tried: Candidate, mapping: Mapping, packed: Packed, task: _Task) -> Found:
    assert packed.packing is not None
    return Found(
        network=tried.network,
        placement=mapping.placement,
        options=mapping.options,
        path=tried.path,
        copies=tried.interleaved.copies,
        cycles=statistics(mapping).cycles,
        peak=4 * packed.packing.peak,
        peak_bound=4 * packed.bound,
        seconds=0.0,
        trailing=tuple(dict.fromkeys(_trailing(mapping))) if task.overlap else (),
    )


def _trailing(mapping: Mapping) -> Iterator[str]:
    """Yield the layers whose output overlaps the place of their own input."""
    for remark in examine(mapping.network, mapping.placement, mapping.device, mapping.options):
        if remark.rule == hint_overlapping_tail.__name__:
            yield remark.where


def _addresses(memory: Memory, packing: Packing) -> dict[Source, int]:
    return {source: memory.address(packing.places, source) for source in memory.values}
