"""Rules about the order of layers, the format of the data between them, and sizes that the device can address."""

from __future__ import annotations

from ai8x_tool.mapping.rules.subject import LayerSubject
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.rules import size_text
from ai8x_tool.rule import Finding

_MAX_PAD = 2
_MAX_FLATTEN = 256


def _source_layers(s: LayerSubject) -> list[Layer]:
    return [s.network[source] for source in s.layer.inputs if isinstance(source, str)]


def constraint_output_offset(s: LayerSubject) -> Finding | None:
    """out_offset must lie in data memory."""
    offset, limit = s.at.out_offset, s.device.data_offset_limit
    if 0 <= offset < limit:
        return None
    return Finding(f"out_offset = {offset:#x}, the {s.device.name} supports 0 … {limit - 4:#x}")


def constraint_aligned_offsets(s: LayerSubject) -> Finding | None:
    """Offsets must be multiples of 4 bytes, because data memory is written in words."""
    for key, offset in (("in_offset", s.at.input_offset), ("out_offset", s.at.out_offset)):
        if offset % 4 or offset < 0:
            return Finding(f"{key} = {offset:#x}", f"for example {max(0, offset + 3 & ~3):#x}")
    return None


def caution_last_output(s: LayerSubject) -> Finding | None:
    """If layers are marked with output: true, the layer executed last should be marked, too."""
    missing = s.is_final and not s.layer.output
    return Finding("other layers are marked, but the last one is not", "add output: true") if missing else None


def hint_input_pooling(s: LayerSubject) -> Finding | None:
    """Pooling the network's input costs time that scaling the source would not."""
    return Finding("the first layer pools") if s.is_start and s.layer.has_pool else None


def constraint_sources_before(s: LayerSubject) -> Finding | None:
    """In the order of execution, each layer must come after those that it reads."""
    order = s.placed.placement.order
    late = [x for x in _source_layers(s) if order.index(x.name) >= order.index(s.layer.name)]
    return Finding(f"it reads {late[0].label}, which is executed later") if late else None


def constraint_execution_order(s: LayerSubject) -> Finding | None:
    """On a MAX78000, layers must be executed in the order of the list."""
    if s.device.next_layer or s.next is None or s.next.layer.index == s.layer.index + 1:
        return None
    values = f"layer {s.next.layer.index} is to follow: the {s.device.name} executes layers in list order"
    return Finding(values, "reorder the layers")


def constraint_streaming_prefix(s: LayerSubject) -> Finding | None:
    """Only layers at the beginning of the network can stream."""
    if not s.at.streaming or s.previous is None or s.previous.streaming:
        return None
    return Finding(f"the preceding {s.previous.layer.label} does not stream")


def constraint_streaming_source(s: LayerSubject) -> Finding | None:
    """A streaming layer must read the output of the layer executed before it, and nothing else."""
    if not s.at.streaming or s.previous is None or s.reads_previous:
        return None
    return Finding("it reads " + ", ".join(str(getattr(source, "value", source)) for source in s.layer.inputs))


def caution_wide_intermediate(s: LayerSubject) -> Finding | None:
    """A 32-bit output should be read by the host only, not by another layer."""
    return Finding("output_width = 32") if s.layer.output_width != 8 and not s.is_final else None


def caution_source_gap(s: LayerSubject) -> Finding | None:
    """Operands of an element-wise layer should be interleaved: write_gap is the number of operands minus 1."""
    if not s.layer.eltwise or s.reads_previous:
        return None
    gap = s.layer.operands - 1
    wrong = [layer.label for layer in _source_layers(s) if s.placed[layer.name].write_gap != gap]
    return Finding(f"{', '.join(wrong)} without write_gap: {gap}") if wrong else None


def caution_matching_gap(s: LayerSubject) -> Finding | None:
    """A layer that reads interleaved data should have the read_gap that matches the producer's write_gap."""
    if s.previous is None or not s.reads_previous or s.layer.eltwise or s.previous.write_gap == s.at.read_gap:
        return None
    gap = s.previous.write_gap
    return Finding(f"read_gap = {s.at.read_gap}, write_gap of {s.previous.layer.label} = {gap}")


def constraint_dimensions(s: LayerSubject) -> Finding | None:
    """Rows and columns must not exceed the limit of the device."""
    limit = s.device.dimension
    for what, size in (("input", s.layer.in_size), ("output", s.layer.out_size)):
        if max(size) > limit:
            fix = "use a smaller input, or fold it into more channels"
            return Finding(f"the {what} is {size_text(size)}, the {s.device.name} supports up to {limit}×{limit}", fix)
    return None


def constraint_flatten_size(s: LayerSubject) -> Finding | None:
    """flatten must not take more than 256 pixels per channel."""
    pixels = s.layer.flat_pixels
    if pixels <= _MAX_FLATTEN:
        return None
    return Finding(f"{size_text(s.layer.pooled_size)} = {pixels} pixels", "pool first")


def constraint_pad_range(s: LayerSubject) -> Finding | None:
    """pad must be at most 2."""
    return Finding(f"pad = {s.layer.pad[0]}") if max(s.layer.pad) > _MAX_PAD else None


def caution_flatten_single(s: LayerSubject) -> Finding | None:
    """flatten should be left out if the data have one pixel per channel."""
    return Finding("the data are 1×1") if s.layer.flatten and s.layer.flat_pixels == 1 else None


PLACED_NETWORK_RULES = (
    constraint_output_offset,
    caution_last_output,
    hint_input_pooling,
    constraint_execution_order,
    constraint_sources_before,
    constraint_streaming_prefix,
    constraint_streaming_source,
    caution_wide_intermediate,
    caution_source_gap,
    caution_matching_gap,
    constraint_flatten_size,
    caution_flatten_single,
    constraint_pad_range,
    constraint_dimensions,
    constraint_aligned_offsets,
)
