"""Who overwrites whom in data memory: rolling buffers, outputs, and data that are still needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ai8x_tool.mapping.occupancy import ALWAYS, Ring, Value, rings, steps, values
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.reads import wrong_read
from ai8x_tool.mapping.rules.data_rules import (
    Extent,
    Neighbours,
    Overwriting,
    Placed,
    Reading,
    Trailing,
    constraint_buffer_memory,
    constraint_buffer_output,
    constraint_buffers_apart,
    constraint_buffers_readahead,
    constraint_input_memory,
    constraint_output_memory,
    constraint_overwriting,
    constraint_reads_source,
    constraint_stream_output,
    constraint_trailing_overlap,
    hint_trailing_overlap,
)
from ai8x_tool.mapping.streaming import ends_stream
from ai8x_tool.mapping.words import Words, first_common, input_words, reading_times, writing_times, written_words
from ai8x_tool.network.layer import BUFFER, INPUT
from ai8x_tool.rule import Violation, find


def data_violations(placed: PlacedNetwork) -> Iterator[Violation]:
    """Yield everything that is wrong with data memory: streaming layers first, then layer by layer as executed."""
    found = rings(placed)
    if placed.options.fifo:
        yield from _streaming(placed, found)
    alive = values(placed)
    when = steps(placed)
    for at in placed.executed():
        yield from _within_memory(placed, at)
        reading = find(constraint_reads_source, Reading(at, wrong_read(placed, at)))
        if reading is not None:
            yield reading
        if not at.streaming or ends_stream(at, placed):
            yield from _written(placed, at, alive, when[at.layer.name])
    for ring in found:
        yield from _ring(placed, ring, alive)


def _present(*violations: Violation | None) -> Iterator[Violation]:
    yield from (violation for violation in violations if violation is not None)


def _extent(at: PlacedLayer, written: list[Words]) -> Extent:
    """Return the bytes from the first to the last of the words `written`."""
    instances = 0
    for words in written:
        instances |= words.instances
    first, last = min(words.first for words in written), max(words.last for words in written)
    return Extent(at, 4 * first, 4 * last + 3, instances)


def _within_memory(placed: PlacedNetwork, at: PlacedLayer) -> Iterator[Violation]:
    if not at.streaming:
        words = input_words(at)
        extent = Extent(at, 4 * words.first, 4 * words.last + 3, words.instances)
        yield from _present(find(constraint_input_memory, Placed(placed.device, extent)))
    if not at.streaming or ends_stream(at, placed):
        extent = _extent(at, written_words(at))
        yield from _present(find(constraint_output_memory, Placed(placed.device, extent)))


def _streaming(placed: PlacedNetwork, found: list[Ring]) -> Iterator[Violation]:
    """Yield what is wrong with rolling buffers; their ranges include one word more than they use, at the end."""
    buffers: list[Extent] = []
    for ring in found:
        at, device = ring.at, placed.device
        buffer = Extent(at, at.input_offset, at.input_offset + 4 * ring.words.length, ring.words.instances)
        if at.processors & at.output_map:
            own = _own_output(at, ring.words.length)
            yield from _present(find(constraint_buffer_output, Neighbours(device, buffer, own)))
        yield from _present(find(constraint_buffer_memory, Placed(device, buffer)))
        for other in buffers:
            neighbours = Neighbours(device, buffer, other)
            yield from _present(
                find(constraint_buffers_apart, neighbours), find(constraint_buffers_readahead, neighbours)
            )
        buffers.append(buffer)
        if ends_stream(at, placed):
            written = _extent(at, written_words(at))
            output = written._replace(last=written.last + 1)
            for other in buffers:
                yield from _present(find(constraint_stream_output, Neighbours(device, output, other)))


def _own_output(at: PlacedLayer, words: int) -> Extent:
    """Return what a streaming layer writes before its rolling buffer of `words` is used again."""
    layer, view, size = at.layer, at.view, words
    if at.next is None:
        size = max(size, (layer.out_size[0] * layer.out_size[1] + view.extra_words) * view.output_passes)
    return Extent(at, at.out_offset - view.skipped_bytes, at.out_offset + 4 * size)


def _ring(placed: PlacedNetwork, ring: Ring, alive: list[Value]) -> Iterator[Violation]:
    """Yield data that a rolling buffer destroys: what lives while layers stream, and is not written by them."""
    extent = Extent(ring.at, 4 * ring.words.first, 4 * ring.words.last + 3, ring.words.instances)
    for value in alive:
        if value.born >= 0 or value.source is INPUT:
            continue
        common = first_common([ring.words], value.words)
        if common is not None:
            instance, word = common
            subject = Overwriting(extent, value.label, "that the next inference reads", instance, 4 * word)
            yield from _present(find(constraint_overwriting, subject))


def _written(placed: PlacedNetwork, at: PlacedLayer, alive: list[Value], step: int) -> Iterator[Violation]:
    """Yield the data that a layer's output overwrites although they are still needed."""
    written = written_words(at)
    extent = _extent(at, written)
    for value in alive:
        if value.born >= step or value.dies < step or _belongs(at, value):
            continue
        common = first_common(written, value.words)
        if common is None:
            continue
        reads = value.source in at.layer.inputs
        if reads and value.dies == step:
            yield from _own_input(placed, at, value, extent, common)
            continue
        why = _reason(placed, value, step)
        free = _free_offset(placed, extent, alive, step)
        subject = Overwriting(extent, value.label, why, common[0], 4 * common[1], free)
        yield from _present(find(constraint_overwriting, subject))


def _belongs(at: PlacedLayer, value: Value) -> bool:
    """Return whether the layer is there to change `value`: it shifts, or inserts into, the rolling buffer."""
    return value.source is BUFFER and bool(at.layer.buffer_shift or at.layer.buffer_insert)


def _reason(placed: PlacedNetwork, value: Value, step: int) -> str:
    if value.dies == ALWAYS:
        return "that the next inference reads" if value.source is BUFFER else "that is unloaded at the end"
    reader = placed[placed.placement.order[value.dies]]
    return f"that {reader.layer.label} reads"


def _own_input(
    placed: PlacedNetwork, at: PlacedLayer, value: Value, extent: Extent, common: tuple[int, int]
) -> Iterator[Violation]:
    early = _changed_early(at)
    if early is not None:
        free = _free_offset(placed, extent, values(placed), steps(placed)[at.layer.name])
        subject = Overwriting(extent, value.label, "that the layer has yet to read", early[0], 4 * early[1], free)
        yield from _present(find(constraint_overwriting, subject))
        return
    before = value.layer is None or (at.previous is not None and value.layer.index == at.previous)
    streamed = value.layer is not None and placed[value.layer.index].streaming
    subject_ = Trailing(extent, value.label, before and not streamed, placed.options.overlap_data)
    refused = find(constraint_trailing_overlap, subject_)
    yield from _present(refused or find(hint_trailing_overlap, subject_))


def _changed_early(at: PlacedLayer) -> tuple[int, int] | None:
    """Return (instance, word) of an input word that the layer changes before it has read it last."""
    read = input_words(at)
    last = np.full(read.last + 1, -1, np.int64)
    last[read.positions()] = reading_times(at)
    for words, times in writing_times(at):
        instances = words.instances & read.instances
        if not instances:
            continue
        positions = words.positions()
        inside = (positions >= 0) & (positions < len(last))
        early = last[positions[inside]] > times[inside]
        if early.any():
            return (instances & -instances).bit_length() - 1, int(positions[inside][early][0])
    return None


def _free_offset(placed: PlacedNetwork, output: Extent, alive: list[Value], step: int) -> int | None:
    """Return the lowest offset from which `output` would overwrite nothing that is needed in `step`."""
    size = placed.device.instance_size // 4
    used = np.zeros(size, bool)
    for value in alive:
        if value.born < step <= value.dies:
            for words in value.words:
                if words.instances & output.instances:
                    positions = words.positions()
                    used[positions[(positions >= 0) & (positions < size)]] = True
    breaks = np.flatnonzero(np.concatenate([[True], used, [True]]))
    needed = (output.last - output.first + 1) // 4
    starts = breaks[:-1][np.diff(breaks) > needed]
    return 4 * int(starts[0]) if len(starts) else None
