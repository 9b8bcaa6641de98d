"""Data that overwrite other data: streaming buffers and outputs. spec: memory, sections 8.2 and 8.3."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.console import Console
from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering.options import Context
from ai8x_tool.lowering.outputs import output_slots, slot_words
from ai8x_tool.lowering.program import layer_region
from ai8x_tool.lowering.streaming import rollover
from ai8x_tool.mapping import LayerMapping
from ai8x_tool.mapping.bits import bits_of
from ai8x_tool.network.description import INPUT, STOP

_INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE
_FREE, _INPUT = -1, -2
Words = npt.NDArray[np.int64]
Report = Callable[[str, LayerMapping, str], None]


@dataclass(frozen=True)
class OverlapOptions:
    """`allow`: outputs may overwrite other data; `warn`: report conflicts as warnings."""

    allow: bool = False
    warn: bool = False


def _instances(processors: int) -> set[int]:
    return {processor // PROCESSORS_PER_INSTANCE for processor in bits_of(processors)}


def check_data_memory(context: Context, order: Iterable[int], options: OverlapOptions, console: Console) -> None:
    """Raise Ai8xError (or warn) where a buffer or an output overwrites data that are still needed.

    `order` lists the layers as executed.
    """

    def report(message: str, mapped: LayerMapping, fix: str) -> None:
        if not options.warn:
            raise Ai8xError(message, where=mapped.layer.where, fix=fix)
        console.warn(f"{mapped.layer.where}: {message} ({fix})")

    if context.fifo:
        _check_streaming(context, options, report)
    if not options.allow:
        _Occupancy(context, report).check(list(order))


def _check_streaming(context: Context, options: OverlapOptions, report: Report) -> None:
    size = context.device.instance_size
    buffers: list[tuple[LayerMapping, int, int, set[int]]] = []
    for mapped in context.mapping.layers:
        layer, view = mapped.layer, mapped.view
        if not layer.streaming:
            continue
        words = rollover(mapped, context)
        first, last = layer.input_offset, layer.input_offset + 4 * words
        _check_own_output(mapped, words, report)
        if last >= size:
            report(
                f"the rolling buffer {first:#x} … {last:#x} leaves data memory ({size:#x})", mapped, "lower in_offset"
            )
        used = _instances(mapped.processors)
        for other, start, end, instances in buffers:
            if not options.allow and used & instances and first <= end and start <= last:
                text = f"the rolling buffer {first:#x} … {last:#x} overlaps that of {other.layer.label}"
                report(f"{text} ({start:#x} … {end:#x})", mapped, "move in_offset")
            block = context.device.sub_instance_size
            if layer.readahead and first // block == start // block:
                text = (
                    f"with readahead its rolling buffer starts in the same {block // 1024} KiB as {other.layer.label}'s"
                )
                report(text, mapped, "move in_offset")
        buffers.append((mapped, first, last, used))
        if layer.next == STOP or not context.mapping[layer.next].layer.streaming:
            pixels = layer.out_size[0] * layer.out_size[1] + view.extra_words
            end = layer.out_offset + pixels * layer.output_width // 2
            _check_last_output(mapped, (layer.out_offset, end), buffers, options, report)


def _check_own_output(mapped: LayerMapping, words: int, report: Report) -> None:
    layer, view = mapped.layer, mapped.view
    if not mapped.processors & mapped.output_map:
        return
    output = layer.out_offset - view.skipped_bytes
    if layer.input_offset < output:
        if layer.input_offset + 4 * words >= output:
            text = f"the rolling buffer of {words} words from {layer.input_offset:#x} reaches the output at {output:#x}"
            report(text, mapped, "raise out_offset")
        return
    size = 4 * words
    if layer.next == STOP:
        pixels = layer.out_size[0] * layer.out_size[1] + view.extra_words
        size = max(size, 4 * pixels * view.output_passes)
    if layer.out_offset + size >= layer.input_offset:
        text = f"the output from {layer.out_offset:#x} reaches the rolling buffer at {layer.input_offset:#x}"
        report(text, mapped, "lower out_offset or raise in_offset")


def _check_last_output(
    mapped: LayerMapping,
    output: tuple[int, int],
    buffers: list[tuple[LayerMapping, int, int, set[int]]],
    options: OverlapOptions,
    report: Report,
) -> None:
    used = _instances(mapped.output_map)
    for other, start, end, instances in buffers:
        if not options.allow and used & instances and output[0] <= end and start <= output[1]:
            text = f"the output {output[0]:#x} … {output[1]:#x} overlaps the rolling buffer of {other.layer.label}"
            report(text, mapped, "move out_offset")


class _Occupancy:
    """Who owns each word of data memory while the layers run."""

    def __init__(self, context: Context, report: Report) -> None:
        self.context = context
        self.report = report
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
        region = layer_region(mapped.layer)
        limit = self.context.device.instance_size
        parts = []
        for slot in output_slots(region):
            offsets = slot_words(region, slot)
            if int(offsets.max()) >= limit:
                text = f"output at offset {int(offsets.max()):#x} lies beyond data memory ({limit:#x})"
                raise Ai8xError(text, where=mapped.layer.where, fix="lower out_offset or write_gap")
            parts.append(self._index(slot.instance, offsets))
        return np.concatenate(parts)

    def _check_output(self, mapped: LayerMapping, own: Words) -> None:
        taken = own[self.live[own] != _FREE]
        if len(taken):
            self._overwrites(mapped, int(taken[0]), int(self.live[taken[0]]), "still needed")
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

    def _overwrites(self, mapped: LayerMapping, word: int, owner: int, why: str) -> None:
        instance, offset = divmod(word, self.words)
        what = "input data" if owner == _INPUT else f"output of {self.context.mapping[owner].layer.label}"
        first = PROCESSORS_PER_INSTANCE * instance
        text = (
            f"the output overwrites {what} {why}: offset {4 * offset:#x} in the data memory of processors "
            f"{first} … {first + PROCESSORS_PER_INSTANCE - 1}"
        )
        self.report(text, mapped, "choose another out_offset, or --overlap-data if this is meant")
