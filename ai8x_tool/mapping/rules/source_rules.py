"""Rules about layers with several sources."""

from __future__ import annotations

import itertools
from functools import reduce
from operator import and_

from ai8x_tool.device.bits import highest_bit, lowest_bit
from ai8x_tool.mapping.rules.subject import LayerSubject, SourceRegion, source_region
from ai8x_tool.rule import Finding


def _several(s: LayerSubject) -> list[SourceRegion]:
    """Return the regions of the layer's sources if it has several; otherwise an empty list."""
    if len(s.layer.inputs) < 2:
        return []
    regions = [source_region(s.placed, source) for source in s.layer.inputs]
    return [region for region in regions if region is not None]


def _common(sources: list[SourceRegion]) -> int:
    return reduce(and_, (source.processors for source in sources))


def caution_different_gaps(s: LayerSubject) -> Finding | None:
    """All sources of a layer should have the same write_gap."""
    gaps = [source.gap for source in _several(s)]
    return Finding(f"write_gap = {gaps}") if len(set(gaps)) > 1 else None


def caution_eltwise_read_gap(s: LayerSubject) -> Finding | None:
    """The read_gap of an element-wise layer should match the write_gap of its operands."""
    sources = _several(s)
    if not s.layer.eltwise or not sources:
        return None
    expected = sources[0].gap // s.layer.operands
    return Finding(f"read_gap = {s.at.read_gap}, {expected} is expected") if s.at.read_gap != expected else None


def caution_interleaved_sources(s: LayerSubject) -> Finding | None:
    """Sources that are joined word by word should have write_gap = sources − 1, and the reader a matching read_gap."""
    sources = _several(s)
    if s.layer.eltwise or not sources or sources[0].gap == 0:
        return None
    gap, count = sources[0].gap, len(sources)
    expected = (gap + 1) // count - 1
    if gap == count - 1 and s.at.read_gap == expected:
        return None
    return Finding(f"{count} sources, write_gap = {gap}, read_gap = {s.at.read_gap}")


def caution_overlapping_sources(s: LayerSubject) -> Finding | None:
    """Sources that are joined should use separate processors, or all processors of the layer."""
    sources = _several(s)
    common = _common(sources) if sources else 0
    if s.layer.eltwise or common in (0, s.at.own_processors):
        return None
    return Finding(f"several sources write to {common:#018x}")


def caution_joined_offsets(s: LayerSubject) -> Finding | None:
    """Sources that are joined side by side should be written to the in_offset of the layer."""
    sources = _several(s)
    if not sources or _common(sources) == s.at.own_processors:
        return None
    wrong = [f"{x.name} at {x.offset:#x}" for x in sources if x.offset != s.at.input_offset]
    return Finding(f"in_offset = {s.at.input_offset:#x}, but {', '.join(wrong)}") if wrong else None


def caution_stacked_offsets(s: LayerSubject) -> Finding | None:
    """Sources on the same processors should be interleaved word by word, or follow one another."""
    sources = _several(s)
    if not sources or _common(sources) != s.at.own_processors:
        return None
    before = 0
    for number, source in enumerate(sources):
        interleaved = s.at.input_offset + 4 * number == source.offset + 4 * s.layer.in_crop[0]
        stacked = s.at.input_offset + 4 * before == source.offset
        if not interleaved and not stacked:
            return Finding(f"in_offset = {s.at.input_offset:#x}, but {source.name} is at {source.offset:#x}")
        before += source.pixels
    return None


def caution_source_order(s: LayerSubject) -> Finding | None:
    """Sources that are joined side by side should be listed by ascending processors."""
    sources = _several(s)
    if s.layer.eltwise or s.at.write_gap:
        return None
    for earlier, later in itertools.pairwise(sources):
        a, b = earlier.processors, later.processors
        if lowest_bit(b) < lowest_bit(a) or highest_bit(b) < highest_bit(a):
            return Finding(f"{later.name} ({b:#018x}) is listed after {earlier.name} ({a:#018x})")
    return None


def caution_one_dimensional_data(s: LayerSubject) -> Finding | None:
    """A 2D layer after Conv1d should usually have in_dim."""
    layer = s.layer
    source = layer.inputs[0]
    if layer.operator not in ("conv2d", "convtranspose2d") or layer.flatten or not isinstance(source, str):
        return None
    before = s.network[source]
    if before.operator != "conv1d" or layer.kernel == (1, 1) or layer.in_size != before.out_size:
        return None
    return Finding(f"it reads {layer.in_size[0]}×{layer.in_size[1]} from {before.label}")


def hint_mergeable_passthrough(s: LayerSubject) -> Finding | None:
    """Two consecutive layers without convolution can often be merged."""
    layer = s.layer
    if layer.is_convolution or s.next is None or s.next.layer.is_convolution or s.next.layer.eltwise:
        return None
    only = [reader.name for reader in s.network.readers(layer.name)] == [s.next.layer.name]
    return Finding(f"{s.next.layer.label} follows") if only and s.next.layer.inputs == (layer.name,) else None


def hint_moving_depthwise(s: LayerSubject) -> Finding | None:
    """Depthwise layers are fastest when output_processors equal processors."""
    moves = s.layer.depthwise and s.at.own_processors != s.at.output_map
    return Finding(f"{s.at.own_processors:#018x} and {s.at.output_map:#018x}") if moves else None


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
