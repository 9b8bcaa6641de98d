"""Data that overwrite other data: streaming buffers and outputs. spec: memory, sections 8.2 and 8.3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.console import Console
from ai8x_tool.device.bits import bits_of
from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.frontend.yaml.description import INPUT, STOP
from ai8x_tool.lowering.options import Context
from ai8x_tool.lowering.outputs import output_slots, slot_words
from ai8x_tool.lowering.program import layer_region
from ai8x_tool.lowering.streaming import rollover
from ai8x_tool.mapping import LayerMapping
from ai8x_tool.mapping.rules.data_rules import (
    Extent,
    Neighbours,
    Overwriting,
    Placed,
    constraint_buffer_memory,
    constraint_buffer_output,
    constraint_buffers_apart,
    constraint_buffers_readahead,
    constraint_output_memory,
    constraint_overwriting,
    constraint_stream_output,
)
from ai8x_tool.rule import Rule, S, remark, require

_INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE
_FREE, _INPUT = -1, -2
Words = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OverlapOptions:
    """`allow`: outputs may overwrite other data; `warn`: report conflicts as warnings."""

    allow: bool = False
    warn: bool = False


class _Reporter(NamedTuple):
    """Ends with the first broken rule, or reports it as a warning."""

    warn: bool
    console: Console

    def check(self, rule: Rule[S], subject: S) -> None:
        if self.warn:
            remark(rule, subject, self.console)
        else:
            require(rule, subject)


def _instances(processors: int) -> frozenset[int]:
    return frozenset(processor // PROCESSORS_PER_INSTANCE for processor in bits_of(processors))


def check_data_memory(context: Context, order: Iterable[int], options: OverlapOptions, console: Console) -> None:
    """Raise Ai8xError (or warn) where a buffer or an output overwrites data that are still needed.

    `order` lists the layers as executed.
    """
    reporter = _Reporter(options.warn, console)
    if context.fifo:
        _check_streaming(context, options, reporter)
    if not options.allow:
        _Occupancy(context, reporter).check(list(order))


def _check_streaming(context: Context, options: OverlapOptions, reporter: _Reporter) -> None:
    buffers: list[Extent] = []
    for mapped in context.mapping.layers:
        layer = mapped.layer
        if not layer.streaming:
            continue
        words = rollover(mapped, context)
        buffer = Extent(layer, layer.input_offset, layer.input_offset + 4 * words, _instances(mapped.processors))
        if mapped.processors & mapped.output_map:
            reporter.check(constraint_buffer_output, Neighbours(context.device, buffer, _own_output(mapped, words)))
        reporter.check(constraint_buffer_memory, Placed(context.device, buffer))
        for other in buffers:
            neighbours = Neighbours(context.device, buffer, other)
            if not options.allow:
                reporter.check(constraint_buffers_apart, neighbours)
            reporter.check(constraint_buffers_readahead, neighbours)
        buffers.append(buffer)
        last = layer.next == STOP or not context.mapping[layer.next].layer.streaming
        for other in buffers if last and not options.allow else ():
            reporter.check(constraint_stream_output, Neighbours(context.device, _last_output(mapped), other))


def _own_output(mapped: LayerMapping, words: int) -> Extent:
    """Return what a streaming layer writes before its rolling buffer of `words` is used again."""
    layer, view = mapped.layer, mapped.view
    size = words
    if layer.next == STOP:
        size = max(size, (layer.out_size[0] * layer.out_size[1] + view.extra_words) * view.output_passes)
    return Extent(layer, layer.out_offset - view.skipped_bytes, layer.out_offset + 4 * size)


def _last_output(mapped: LayerMapping) -> Extent:
    """Return what the last streaming layer writes."""
    layer = mapped.layer
    pixels = layer.out_size[0] * layer.out_size[1] + mapped.view.extra_words
    end = layer.out_offset + pixels * layer.output_width // 2
    return Extent(layer, layer.out_offset, end, _instances(mapped.output_map))


def _written(mapped: LayerMapping) -> list[tuple[int, Words]]:
    """Return the words that a layer writes: data memories, each with byte offsets."""
    region = layer_region(mapped.layer)
    return [(slot.instance, slot_words(region, slot)) for slot in output_slots(region)]


def _extent(mapped: LayerMapping, written: list[tuple[int, Words]]) -> Extent:
    """Return the bytes from the first to the last of the words `written`."""
    last = max(int(offsets[-1].max()) for _, offsets in written)
    return Extent(mapped.layer, mapped.layer.out_offset, last + 3, _instances(mapped.output_map))


class _Occupancy:
    """Who owns each word of data memory while the layers run."""

    def __init__(self, context: Context, reporter: _Reporter) -> None:
        self.context = context
        self.reporter = reporter
        self.words = context.device.instance_size // 4
        count = _INSTANCES * self.words
        self.live: npt.NDArray[Any] = np.full(count, _FREE, np.int16)
        self.outputs = self.live.copy()
        self.owner = self.live.copy()
        self.written: dict[int, Words] = {}

    def check(self, order: list[int]) -> None:
        if not self.context.fifo:
            self.written[INPUT] = self._input_words()
            self.live[self.written[INPUT]] = _INPUT
            self.owner[self.written[INPUT]] = _INPUT
        for position, index in enumerate(order):
            mapped = self.context.mapping[index]
            self._check_sources(mapped, order[position - 1] if position else INPUT)
            if mapped.layer.streaming:
                continue
            following = order[position + 1] if position + 1 < len(order) else None
            self._execute(mapped, following)

    def _execute(self, mapped: LayerMapping, following: int | None) -> None:
        own = self._output_words(mapped)
        self._check_output(mapped, own)
        index = mapped.layer.index
        self.written[index] = own
        self.owner[own] = index
        if mapped.layer.output:
            self.outputs[own] = index
        if following is None or not self.context.mapping[following].layer.streaming:
            self.live = self.outputs.copy()
        self.live[own] = index

    def _index(self, instance: int, offsets: Words) -> Words:
        words: Words = instance * self.words + offsets.reshape(-1) // 4
        return words

    def _input_words(self) -> Words:
        mapped = self.context.mapping.start
        layer, view = mapped.layer, mapped.view
        pixels = layer.in_size[0] * layer.in_size[1]
        count = (pixels + 3) // 4 if layer.chw else pixels * view.input_passes * layer.operands
        offsets = layer.input_offset + 4 * np.arange(count, dtype=np.int64)
        return np.concatenate([self._index(i, offsets) for i in sorted(_instances(layer.processors))])

    def _output_words(self, mapped: LayerMapping) -> Words:
        written = _written(mapped)
        require(constraint_output_memory, Placed(self.context.device, _extent(mapped, written)))
        return np.concatenate([self._index(instance, offsets) for instance, offsets in written])

    def _check_output(self, mapped: LayerMapping, own: Words) -> None:
        taken = own[self.live[own] != _FREE]
        if len(taken):
            self._overwrites(mapped, int(taken[0]), int(self.live[taken[0]]), "still needed", movable=True)
        unique, counts = np.unique(own, return_counts=True)
        if (counts > 1).any():
            self._overwrites(mapped, int(unique[counts > 1][0]), mapped.layer.index, "of the same layer")

    def _check_sources(self, mapped: LayerMapping, previous: int) -> None:
        """Older data that this layer reads must not have been overwritten meanwhile."""
        for source in mapped.layer.in_sequences or (previous,):
            words = self.written.get(source)
            if words is None:
                continue
            expected = _INPUT if source == INPUT else source
            read = words[np.isin(words, self._read_words(mapped))]
            lost = read[self.owner[read] != expected]
            if len(lost):
                culprit = self.context.mapping[int(self.owner[lost[0]])]
                reader = mapped.layer.label
                self._overwrites(culprit, int(lost[0]), expected, f"that {reader} reads")

    def _read_words(self, mapped: LayerMapping) -> Words:
        layer, view = mapped.layer, mapped.view
        pixels = layer.in_size[0] * layer.in_size[1]
        count = (pixels + 3) // 4 if layer.chw else pixels * view.input_passes * layer.operands
        step = 4 if layer.chw else 4 * (layer.read_gap + 1)
        offsets = layer.input_offset + step * np.arange(count, dtype=np.int64)
        offsets = offsets[offsets < self.context.device.instance_size]
        return np.concatenate([self._index(i, offsets) for i in sorted(_instances(layer.processors))])

    def _overwrites(self, mapped: LayerMapping, word: int, owner: int, why: str, *, movable: bool = False) -> None:
        instance, offset = divmod(word, self.words)
        victim = "input data" if owner == _INPUT else f"output of {self.context.mapping[owner].layer.label}"
        output = _extent(mapped, _written(mapped))
        free = self._free_offset(output) if movable else None
        self.reporter.check(constraint_overwriting, Overwriting(output, victim, why, instance, 4 * offset, free))

    def _free_offset(self, output: Extent) -> int | None:
        """Return the lowest offset from which `output` would overwrite nothing that is needed now."""
        used = (self.live.reshape(_INSTANCES, -1)[sorted(output.instances)] != _FREE).any(axis=0)
        breaks = np.flatnonzero(np.concatenate([[True], used, [True]]))
        needed = (output.last - output.first + 1) // 4
        starts = breaks[:-1][np.diff(breaks) > needed]
        return 4 * int(starts[0]) if len(starts) else None
