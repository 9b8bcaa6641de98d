"""Rules about layers with several sources. spec: network-yaml, sections 4.2, 4.4 and 5.5; registers, 10.2 and 10.3."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import reduce
from operator import and_

from ai8x_tool.device.bits import highest, lowest
from ai8x_tool.frontend.yaml.description import BUFFER, INPUT
from ai8x_tool.mapping.rules.subject import Subject
from ai8x_tool.rule import Finding


@dataclass(frozen=True)
class _Source:
    """Where one source lies: processors, byte offset, gap and pixels."""

    name: str
    processors: int
    offset: int
    gap: int
    pixels: int


def _sources(s: Subject) -> list[_Source]:
    """Return the layer's sources; empty unless it names some."""
    found = []
    for index in s.layer.in_sequences or ():
        buffer = s.network.description.data_buffer
        if index == BUFFER and buffer is not None:
            found.append(_Source(buffer.name, buffer.processors, buffer.offset, 0, buffer.dim[0] * buffer.dim[1]))
        elif index == INPUT:
            start = s.network.start
            pixels = start.in_size[0] * start.in_size[1]
            found.append(_Source("input", start.processors, start.input_offset, 0, pixels))
        elif index in s.network:
            layer = s.network[index]
            pixels = layer.out_size[0] * layer.out_size[1]
            found.append(_Source(layer.label, layer.output_map, layer.out_offset, layer.write_gap, pixels))
    return found


def _several(s: Subject) -> list[_Source]:
    sources = _sources(s)
    return sources if len(sources) > 1 else []


def _common(sources: list[_Source]) -> int:
    return reduce(and_, (source.processors for source in sources))


def caution_different_gaps(s: Subject) -> Finding | None:
    """All sources of a layer have the same write_gap."""
    gaps = [source.gap for source in _several(s)]
    return Finding(f"write_gap = {gaps}") if len(set(gaps)) > 1 else None


def caution_eltwise_read_gap(s: Subject) -> Finding | None:
    """An element-wise layer that reads a wider gap than its operands need says so with read_gap."""
    sources = _several(s)
    if not s.layer.eltwise or not sources:
        return None
    expected = sources[0].gap // s.layer.operands
    return Finding(f"read_gap = {s.layer.read_gap}, {expected} is expected") if s.layer.read_gap != expected else None


def caution_interleaved_sources(s: Subject) -> Finding | None:
    """Sources that are joined word by word have write_gap = sources − 1, and the reader the matching read_gap."""
    sources = _several(s)
    if s.layer.eltwise or not sources or sources[0].gap == 0:
        return None
    gap, count = sources[0].gap, len(sources)
    expected = (gap + 1) // count - 1
    if gap == count - 1 and s.layer.read_gap == expected:
        return None
    return Finding(f"{count} sources, write_gap = {gap}, read_gap = {s.layer.read_gap}")


def caution_overlapping_sources(s: Subject) -> Finding | None:
    """Sources that are joined use processors of their own, or all the layer's processors."""
    sources = _several(s)
    common = _common(sources) if sources else 0
    if s.layer.eltwise or common in (0, s.layer.processors):
        return None
    return Finding(f"several sources write to {common:#018x}")


def caution_joined_offsets(s: Subject) -> Finding | None:
    """Sources that are joined side by side are written to where the layer reads."""
    sources = _several(s)
    if not sources or _common(sources) == s.layer.processors:
        return None
    wrong = [f"{x.name} at {x.offset:#x}" for x in sources if x.offset != s.layer.input_offset]
    return Finding(f"in_offset = {s.layer.input_offset:#x}, but {', '.join(wrong)}") if wrong else None


def caution_stacked_offsets(s: Subject) -> Finding | None:
    """Sources on the same processors are interleaved word by word, or lie one behind the other."""
    sources = _several(s)
    if not sources or _common(sources) != s.layer.processors:
        return None
    before = 0
    for number, source in enumerate(sources):
        interleaved = s.layer.input_offset + 4 * number == source.offset + 4 * s.layer.in_crop[0]
        stacked = s.layer.input_offset + 4 * before == source.offset
        if not interleaved and not stacked:
            return Finding(f"in_offset = {s.layer.input_offset:#x}, but {source.name} at {source.offset:#x}")
        before += source.pixels
    return None


def caution_source_order(s: Subject) -> Finding | None:
    """Sources that are joined side by side are listed by ascending processors."""
    sources = _several(s)
    if s.layer.eltwise or s.layer.write_gap:
        return None
    for earlier, later in itertools.pairwise(sources):
        a, b = earlier.processors, later.processors
        if lowest(b) < lowest(a) or highest(b) < highest(a):
            return Finding(f"{later.name} ({b:#018x}) comes after {earlier.name} ({a:#018x})")
    return None


def caution_one_dimensional_data(s: Subject) -> Finding | None:
    """A 2D layer behind Conv1d usually needs in_dim."""
    layer = s.layer
    if layer.operator not in ("conv2d", "convtranspose2d") or layer.in_dim is not None or layer.flatten:
        return None
    source = (layer.in_sequences or (layer.previous,))[0]
    if source not in s.network or s.network[source].operator != "conv1d" or layer.kernel == (1, 1):
        return None
    return Finding(f"it reads {layer.in_size[0]}×{layer.in_size[1]} from layer {source}")


def hint_mergeable_passthrough(s: Subject) -> Finding | None:
    """Two layers without convolution in a row may be one."""
    layer = s.layer
    if layer.is_convolution or layer.next not in s.network or s.network[layer.next].is_convolution:
        return None
    readers = [x for x in s.network.layers if layer.index in (x.in_sequences or ())]
    return Finding(f"layer {layer.next} follows") if not readers and not s.network[layer.next].eltwise else None


def hint_moving_depthwise(s: Subject) -> Finding | None:
    """Depth-wise layers are fastest when output_processors equal processors."""
    moves = s.layer.depthwise and s.layer.processors != s.layer.output_map
    return Finding(f"{s.layer.processors:#018x} and {s.layer.output_map:#018x}") if moves else None


SOURCE_RULES = (
    caution_different_gaps,
    caution_eltwise_read_gap,
    caution_interleaved_sources,
    caution_overlapping_sources,
    caution_joined_offsets,
    caution_stacked_offsets,
    caution_source_order,
    caution_one_dimensional_data,
    hint_mergeable_passthrough,
    hint_moving_depthwise,
)
