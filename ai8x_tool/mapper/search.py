"""Search for a placement: input path, copies, processors, then offsets; every result is checked by the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory, memory_blocks
from ai8x_tool.mapper.candidate import Candidate, build_candidate
from ai8x_tool.mapper.columns import stored_kernels, tight_assignments
from ai8x_tool.mapper.given import (
    GivenPlacement,
    given_layout,
    given_placement,
    given_streaming_layers,
    required_options,
)
from ai8x_tool.mapper.interleave import Interleaved, interleave
from ai8x_tool.mapper.moves import with_moves
from ai8x_tool.mapper.offsets import NO_OVERLAPS, Packing
from ai8x_tool.mapper.order import with_lower_peak
from ai8x_tool.mapper.overlap import trailing_overlaps
from ai8x_tool.mapper.packing import Packed, pack_values
from ai8x_tool.mapper.parallel import with_parallel_outputs
from ai8x_tool.mapper.paths import InputPath, input_paths
from ai8x_tool.mapper.result import MappingResult, Shortage, UnmappableError
from ai8x_tool.mapper.shortage import (
    data_shortage,
    has_oversized_value,
    kernel_shortage,
    layer_shortage,
    memory_shortage,
    structure_shortage,
)
from ai8x_tool.mapper.starts import ClassDemand, assignments, class_demands, has_room, least_words
from ai8x_tool.mapping.check import examine, violations
from ai8x_tool.mapping.mapping import Mapping, build_mapping
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
"""Further assignments of processors tried after the first one that fits."""
_LOWERED = 16
"""Assignments among which one with less data memory is looked for."""
_HOPELESS = 8
"""Number of assignments after which the search gives up if none of them has room for all live values; half as many
suffice if all of them need the same number of bytes."""
_THOROUGH = 4
"""Number of assignments whose values are packed by exact search if first-fit fails for all of them."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Task:
    """Parameters of all steps of the search.

    `overlap`: outputs overwrite input that has been read; `last_resort`: a second attempt with `overlap` is allowed if
    nothing fits without; `first`: the first placement suffices.
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
) -> MappingResult:
    """Return the placement of `network` with the fewest estimated cycles that was found within `seconds`.

    `seconds` is processor time, so that other work on the machine does not change the result. Values fixed in `given`
    are kept. `path` is the input path, if it is given. With `overlap`, outputs may overwrite input that has been read,
    if nothing fits otherwise; with `parallel`, layers compute four outputs at a time where possible. With `moves`, 1×1
    convolutions with constant weights are inserted where data must be moved for a layer to read them, weights get more
    bits where their own width cannot be stored, and branches are reordered if nothing fits otherwise. With `first`, the
    search ends with the first placement. `progress` is called with a text about each attempt. Raises UnmappableError,
    which names the obstacle, if no placement was found.
    """
    begin = time.process_time()
    network = _readable(network, device) if moves else network
    asked = required_options(options, given)
    streams = given_streaming_layers(network, given)
    best: MappingResult | None = None
    reasons: list[Shortage] = []
    for choice in input_paths(network, device, asked, path, chw=given_layout(given)):
        if best is not None and choice.streams > best.path.streams:
            break
        if streams is not None and choice.streams != streams:
            continue
        progress(choice.text if best is None else f"{choice.text}; best so far {best.cycles:,} cycles")
        chosen = replace(asked, fifo=choice.fifo)
        task = _Task(device, chosen, lambda: time.process_time() - begin > seconds, overlap, first=first)
        found = _map_path(network, task, choice, given_placement(given))
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
    """Return the network with the moves inserted that its layers need to read their inputs."""
    try:
        return with_moves(network, device)
    except Ai8xError as error:
        raise _unmappable(network, device, [structure_shortage(error)]) from None


def _unmappable(network: Network, device: Device, reasons: list[Shortage]) -> UnmappableError:
    if not reasons:
        reasons = [Shortage("structure", "the network's input cannot use the given input path")]
    least = min(reasons, key=lambda shortage: shortage.excess)
    return UnmappableError(f"no placement was found on the {device.name}: {least}", least, where=network.name)


def _map_path(network: Network, task: _Task, path: InputPath, given: GivenPlacement) -> MappingResult | Shortage:
    """Return the best placement with the input path `path`, or the reason why there is none."""
    streamed = frozenset(layer.name for layer in network.layers[: max(0, path.streams - 1)])
    hopeless = has_oversized_value(network, path, task.device)
    overlaps = (False, True)[: 1 + task.last_resort]
    try:
        late = interleave(network, task.device, streamed)
        soon = late if hopeless else interleave(network, task.device, streamed, early=True)
        variants = [late] if soon.network == late.network else [late, soon]
        result: MappingResult | Shortage | None = None
        for overlap in overlaps[-1:] if hopeless else overlaps:
            for interleaved in variants:
                result = _map_interleaved(interleaved, replace(task, overlap=overlap), path, given)
                if isinstance(result, MappingResult) or result.resource != "data memory" or task.expired():
                    return result
        assert result is not None
        return result
    except Ai8xError as error:
        return structure_shortage(error)


def _map_interleaved(
    interleaved: Interleaved, task: _Task, path: InputPath, given: GivenPlacement
) -> MappingResult | Shortage:
    named = GivenPlacement({interleaved.names.get(name, name): at for name, at in given.layers.items()})
    tried = build_candidate(interleaved, path, named)
    shortage = layer_shortage(tried, task.device) or kernel_shortage(tried, task.device)
    return _assign(tried, task, tried.fixed_starts()) if shortage is None else shortage


def _assign(tried: Candidate, task: _Task, fixed: dict[int, int]) -> MappingResult | Shortage:
    """Return the best placement over several assignments of processors to classes, or the smallest shortage."""
    best: tuple[MappingResult, list[int]] | None = None
    failed: list[tuple[Shortage, list[int]]] = []
    seen: set[tuple[int, ...]] = set()
    for number, starts in enumerate(_starts(tried, task, fixed, failed)):
        result = None if tuple(starts) in seen else _place_all(tried, task, starts)
        seen.add(tuple(starts))
        if isinstance(result, MappingResult) and (best is None or _rank(result) < _rank(best[0])):
            result = _replayed(result, task)
            best = (result, starts) if isinstance(result, MappingResult) else best
        if isinstance(result, Shortage):
            failed.append((result, starts))
        enough = best is not None and (task.first or number >= _EXTRA)
        if task.expired() or enough or _is_hopeless(failed, len(seen)):
            break
    if best is not None:
        return best[0] if task.first else _lowered(tried, task, fixed, *best)
    for shortage, starts in sorted(failed, key=lambda entry: entry[0].excess)[:_THOROUGH]:
        if shortage.resource == "data memory" and shortage.excess <= 1 and not task.expired():
            result = _replayed(_place_all(tried, task, starts, thorough=True), task)
            if isinstance(result, MappingResult):
                return result
    return min((shortage for shortage, _ in failed), key=lambda shortage: shortage.excess)


def _rank(found: MappingResult) -> tuple[int, int, int]:
    """Return the key by which placements are compared: cycles, peak, and the words of the input to be stored."""
    channels, rows, columns = found.network.input_shape
    groups, pixels = -(-channels // 4), rows * columns
    words = -(-pixels // 4) * channels if found.path.chw else pixels * groups
    return found.cycles, found.peak, words


def _lowered(
    tried: Candidate, task: _Task, fixed: dict[int, int], best: MappingResult, starts: list[int]
) -> MappingResult:
    """Return `best`, or a placement with a lower peak and no more cycles: packed better, or with other processors."""
    if best.peak > best.peak_bound:
        best = _searched(tried, task, starts, best)
    demands = _demands(tried, task)
    least = least_words(demands)
    while best.peak > 4 * least and not (task.overlap or task.expired()):
        words = best.peak // 4 - 1
        possible = (each for each in assignments(demands, fixed, words, _LOWERED) if has_room(demands, each, words))
        results = (_place_all(tried, task, each) for each in islice(possible, _EXTRA))
        better = (each for each in results if isinstance(each, MappingResult) and each.cycles <= best.cycles)
        lower = next((each for each in better if each.peak < best.peak), None)
        checked = None if lower is None else _replayed(lower, task)
        if not isinstance(checked, MappingResult):
            break
        best = checked
    return best


def _searched(tried: Candidate, task: _Task, starts: list[int], best: MappingResult) -> MappingResult:
    """Return the placement with its values packed by exact search, or `best` if that is not possible."""
    result = _replayed(_place_all(tried, task, starts, thorough=True), task)
    return result if isinstance(result, MappingResult) and result.cycles <= best.cycles else best


def _replayed(result: MappingResult | Shortage, task: _Task) -> MappingResult | Shortage:
    """Return the placement if the replay of all reads and writes finds no conflict, otherwise the conflict."""
    if isinstance(result, Shortage):
        return result
    mapping = build_mapping(place(result.network, result.placement, task.device, result.options))
    conflict = next(iter(replay(mapping)), None)
    return result if conflict is None else Shortage("structure", conflict.text(), where=conflict.where)


def _is_hopeless(failed: list[tuple[Shortage, list[int]]], tried: int) -> bool:
    """Return whether too many values live at the same time in all assignments tried, or in any possible one."""
    if failed and failed[-1][0].certain:
        return True
    needed = [shortage.needed for shortage, _ in failed if shortage.resource == "data memory" and shortage.excess > 1]
    enough = _HOPELESS if len(set(needed)) > 1 else _HOPELESS // 2
    return len(needed) == tried >= enough


def _starts(
    tried: Candidate, task: _Task, fixed: dict[int, int], failed: list[tuple[Shortage, list[int]]]
) -> Iterator[list[int]]:
    """Yield first processors of all classes: balanced ones, tight ones if kernels did not fit, then others."""
    network, device, demands = tried.network, task.device, _demands(tried, task)
    words = device.instance_size // 4
    yield from assignments(demands, fixed, words, _EXTRA + 1)
    if any(shortage.resource == "kernel memory" for shortage, _ in failed):
        yield from tight_assignments(stored_kernels(network, tried.classes), demands, fixed, device)
    yield from assignments(demands, fixed, words, _ATTEMPTS)


def _demands(tried: Candidate, task: _Task) -> list[ClassDemand]:
    """Return what each class needs of kernel and data memory."""
    sketch = place(tried.network, tried.placement([0] * len(tried.classes), {}), task.device, task.options)
    blocks = memory_blocks(sketch, tried.interleaved, tried.path)
    return class_demands(tried.network, tried.classes, tried.live_ranges(blocks))


def _place_all(tried: Candidate, task: _Task, starts: list[int], *, thorough: bool = False) -> MappingResult | Shortage:
    """Return the placement with classes at `starts`, or the shortage that prevents it."""
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
    mapping = build_mapping(place(network, placement, device, options))
    return _found(tried, mapping, packed, task)


def _with_fixed(tried: Candidate, memory: Memory) -> Memory:
    skipped = {layer.name: tried.skipped(layer) for layer in tried.network.layers}
    fixed = tried.given.fixed_offsets(tried.network, memory, skipped)
    if not fixed:
        return memory
    groups = tuple(replace(group, fixed=fixed.get(group.name)) for group in memory.groups)
    return replace(memory, groups=groups)


def _found(tried: Candidate, mapping: Mapping, packed: Packed, task: _Task) -> MappingResult:
    assert packed.packing is not None
    return MappingResult(
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
    """Yield the layers whose output overlaps their own input."""
    for remark in examine(mapping.network, mapping.placement, mapping.device, mapping.options):
        if remark.rule == hint_overlapping_tail.__name__:
            yield remark.where


def _addresses(memory: Memory, packing: Packing) -> dict[Source, int]:
    return {source: memory.address(packing.places, source) for source in memory.values}
