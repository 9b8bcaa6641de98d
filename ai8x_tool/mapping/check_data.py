"""Verification of data memory: rolling buffers and outputs must not overwrite data that are still needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ai8x_tool.mapping.occupancy import (
    ALWAYS,
    RollingBuffer,
    StoredValue,
    execution_steps,
    input_storage,
    is_unloaded,
    rolling_buffers,
    stored_values,
)
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.reads import wrong_read
from ai8x_tool.mapping.rules.data_rules import (
    BufferUse,
    CheckedReading,
    DeviceExtent,
    Extent,
    ExtentPair,
    Kept,
    Overwriting,
    Trailing,
    constraint_buffer_memory,
    constraint_buffer_output,
    constraint_buffer_use,
    constraint_buffers_apart,
    constraint_buffers_readahead,
    constraint_input_memory,
    constraint_output_kept,
    constraint_output_memory,
    constraint_overwriting,
    constraint_reads_source,
    constraint_stream_output,
    constraint_trailing_overlap,
    hint_overlapping_tail,
)
from ai8x_tool.mapping.rules.result_rules import RESULT_RULES
from ai8x_tool.mapping.rules.subject import LayerSubject
from ai8x_tool.mapping.streaming import ends_stream
from ai8x_tool.mapping.words import (
    Words,
    first_common,
    input_words,
    reading_times,
    writing_times,
    written_words,
)
from ai8x_tool.network.layer import BUFFER
from ai8x_tool.rule import Violation, find


def data_violations(placed: PlacedNetwork) -> Iterator[Violation]:
    """Yield all violations concerning results and data memory: streaming layers first, then in execution order."""
    yield from result_violations(placed)
    found = rolling_buffers(placed)
    alive = stored_values(placed)
    if placed.options.fifo:
        yield from _streaming(placed, found)
    yield from _loaded(placed, alive)
    for ring in found:
        yield from _ring(ring, alive)
    when = execution_steps(placed)
    for at in placed.executed():
        yield from _within_memory(placed, at)
        yield from _present(find(constraint_reads_source, CheckedReading(at, wrong_read(placed, at))))
        yield from _buffer_use(placed, at)
        if not at.streaming or ends_stream(at, placed):
            yield from _written(placed, at, alive, when[at.layer.name])
        elif at.layer.output or is_unloaded(placed, at):
            yield from _present(find(constraint_output_kept, Kept(at, streams_on=True)))


def result_violations(placed: PlacedNetwork) -> Iterator[Violation]:
    """Yield violations for layers whose results would be wrong whatever data memory contains."""
    for at in placed.executed():
        subject = LayerSubject(placed, at)
        yield from _present(*(find(rule, subject) for rule in RESULT_RULES))


def _present(*violations: Violation | None) -> Iterator[Violation]:
    yield from (violation for violation in violations if violation is not None)


def _written_by(placed: PlacedNetwork, at: PlacedLayer) -> list[Words]:
    return written_words(at, resets=placed.resets_accumulator(at))


def _extent(at: PlacedLayer, written: list[Words]) -> Extent:
    """Return the byte range from the first to the last of the words `written`."""
    instances = 0
    for words in written:
        instances |= words.instances
    first, last = min(words.first for words in written), max(words.last for words in written)
    return Extent(at, 4 * first, 4 * last + 3, instances)


def _within_memory(placed: PlacedNetwork, at: PlacedLayer) -> Iterator[Violation]:
    if not at.streaming:
        extent = _extent(at, [input_words(at)])
        yield from _present(find(constraint_input_memory, DeviceExtent(placed.device, extent)))
    if not at.streaming or ends_stream(at, placed):
        extent = _extent(at, written_words(at))
        yield from _present(find(constraint_output_memory, DeviceExtent(placed.device, extent)))


# -- Before the first layer: the input, rolling buffers ----------------------------------------------------------------


def _loaded(placed: PlacedNetwork, alive: list[StoredValue]) -> Iterator[Violation]:
    """Yield violations for data left by the previous inference that the input overwrites when it is stored."""
    start = placed.start
    if start.streaming:
        return
    words = input_storage(placed)
    yield from _destroyed(_extent(start, [words]), words, alive, "the input")


def _ring(ring: RollingBuffer, alive: list[StoredValue]) -> Iterator[Violation]:
    """Yield violations for data that a rolling buffer destroys: they live during streaming, written by other layers."""
    yield from _destroyed(_extent(ring.at, [ring.words]), ring.words, alive, "its rolling buffer")


def _destroyed(extent: Extent, words: Words, alive: list[StoredValue], what: str) -> Iterator[Violation]:
    for value in alive:
        common = first_common([words], value.words) if value.source is BUFFER else None
        if common is not None:
            place = common[0], 4 * common[1]
            subject = Overwriting(extent, value.label, "that the next inference reads", *place, what=what)
            yield from _present(find(constraint_overwriting, subject))


def _streaming(placed: PlacedNetwork, found: list[RollingBuffer]) -> Iterator[Violation]:
    """Yield violations concerning rolling buffers; their ranges include one word after the last one used."""
    buffers: list[Extent] = []
    for ring in found:
        at, device = ring.at, placed.device
        buffer = Extent(at, at.input_offset, at.input_offset + 4 * ring.words.length, ring.words.instances)
        if at.processors & at.output_map:
            own = _own_output(at, ring.words.length)
            yield from _present(find(constraint_buffer_output, ExtentPair(device, buffer, own)))
        yield from _present(find(constraint_buffer_memory, DeviceExtent(device, buffer)))
        for other in buffers:
            pair = ExtentPair(device, buffer, other)
            yield from _present(find(constraint_buffers_apart, pair), find(constraint_buffers_readahead, pair))
        buffers.append(buffer)
        if ends_stream(at, placed):
            written = _extent(at, written_words(at))
            output = written._replace(last=written.last + 1)
            for other in buffers:
                yield from _present(find(constraint_stream_output, ExtentPair(device, output, other)))


def _own_output(at: PlacedLayer, words: int) -> Extent:
    """Return the range that a streaming layer writes before its rolling buffer of `words` is used again."""
    layer, view, size = at.layer, at.view, words
    if at.next is None:
        size = max(size, (layer.out_size[0] * layer.out_size[1] + view.extra_words) * view.output_passes)
    return Extent(at, at.out_offset - view.skipped_bytes, at.out_offset + 4 * size)


# -- Layers ------------------------------------------------------------------------------------------------------------


def _buffer_use(placed: PlacedNetwork, at: PlacedLayer) -> Iterator[Violation]:
    """Yield a violation if a layer changes the rolling buffer at a wrong place."""
    buffer, where, layer = placed.network.buffer, placed.placement.buffer, at.layer
    if buffer is None or where is None or not (layer.buffer_shift or layer.buffer_insert):
        return
    position = 4 * buffer.size[1] * -(-buffer.channels // 64)
    offset = where.offset
    if not layer.buffer_shift:
        offset += (buffer.size[0] - layer.buffer_insert) * position
    subject = BufferUse(at, f"the rolling buffer {buffer.name}", where.processors, offset, buffer.channels)
    yield from _present(find(constraint_buffer_use, subject))


def _written(placed: PlacedNetwork, at: PlacedLayer, alive: list[StoredValue], step: int) -> Iterator[Violation]:
    """Yield violations for data that a layer's output overwrites although they are still needed."""
    written = _written_by(placed, at)
    extent = _extent(at, written)
    for value in alive:
        if value.born >= step or value.dies < step or _belongs(at, value):
            continue
        common = first_common(written, value.words)
        if common is None:
            continue
        if value.source in at.layer.inputs and value.dies == step:
            yield from _own_input(placed, at, value, extent, alive)
            continue
        why = _reason(placed, value)
        free = _free_offset(placed, extent, alive, step)
        subject = Overwriting(extent, value.label, why, common[0], 4 * common[1], free)
        yield from _present(find(constraint_overwriting, subject))


def _belongs(at: PlacedLayer, value: StoredValue) -> bool:
    """Return whether the layer changes `value` on purpose: it shifts the rolling buffer or inserts into it."""
    return value.source is BUFFER and bool(at.layer.buffer_shift or at.layer.buffer_insert)


def _reason(placed: PlacedNetwork, value: StoredValue) -> str:
    if value.dies == ALWAYS:
        return "that the next inference reads" if value.source is BUFFER else "that is unloaded at the end"
    reader = placed[placed.placement.order[value.dies]]
    return f"that {reader.layer.label} reads"


def _own_input(
    placed: PlacedNetwork, at: PlacedLayer, value: StoredValue, extent: Extent, alive: list[StoredValue]
) -> Iterator[Violation]:
    early = _changed_early(placed, at)
    if early is not None:
        free = _free_offset(placed, extent, alive, execution_steps(placed)[at.layer.name])
        subject = Overwriting(extent, value.label, "that the layer has yet to read", early[0], 4 * early[1], free)
        yield from _present(find(constraint_overwriting, subject))
        return
    before = value.layer is None or (at.previous is not None and value.layer.index == at.previous)
    streamed = value.layer is not None and placed[value.layer.index].streaming
    subject_ = Trailing(extent, value.label, before and not streamed, placed.options.overlap_data)
    refused = find(constraint_trailing_overlap, subject_)
    yield from _present(refused or find(hint_overlapping_tail, subject_))


def _changed_early(placed: PlacedNetwork, at: PlacedLayer) -> tuple[int, int] | None:
    """Return (instance, word) of an input word that the layer changes before its last read; None if there is none."""
    read = input_words(at)
    last = np.full(read.last + 1, -1, np.int64)
    last[read.positions()] = reading_times(at)
    for words, times in writing_times(at, resets=placed.resets_accumulator(at)):
        instances = words.instances & read.instances
        if not instances:
            continue
        positions = words.positions()
        inside = (positions >= 0) & (positions < len(last))
        early = last[positions[inside]] > times[inside]
        if early.any():
            return (instances & -instances).bit_length() - 1, int(positions[inside][early][0])
    return None


def _free_offset(placed: PlacedNetwork, output: Extent, alive: list[StoredValue], step: int) -> int | None:
    """Return the lowest offset at which `output` overwrites no data needed in `step`; None if there is none."""
    busy = [
        (words.first, words.last)
        for value in alive
        if value.born < step <= value.dies
        for words in value.words
        if words.instances & output.instances
    ]
    needed, offset = (output.last + 1 - output.first) // 4, 0
    for first, last in sorted(busy):
        if first - offset >= needed:
            break
        offset = max(offset, last + 1)
    return 4 * offset if offset + needed <= placed.device.instance_size // 4 else None
