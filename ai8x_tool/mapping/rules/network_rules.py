"""Rules about a network's shapes, whatever the part. spec: network-yaml, section 4.2."""

from __future__ import annotations

from ai8x_tool.mapping.rules.subject import Subject
from ai8x_tool.network.network import Layer
from ai8x_tool.rule import Finding

_MAX_PAD = 2
_MAX_FLATTEN = 256


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _source_layers(s: Subject) -> list[Layer]:
    return [s.network[i] for i in s.layer.in_sequences or () if i in s.network]


def constraint_output_offset(s: Subject) -> Finding | None:
    """out_offset must lie in data memory."""
    offset, limit = s.layer.out_offset, s.device.data_offset_limit
    if 0 <= offset < limit:
        return None
    return Finding(f"out_offset = {offset:#x}, the {s.device.name} has 0 … {limit - 4:#x}")


def constraint_wide_output_activation(s: Subject) -> Finding | None:
    """A 32-bit output is written before the activation, so the layer can have none."""
    if s.layer.output_width == 8 or s.layer.activation == "none":
        return None
    return Finding(f"activate = {s.layer.activation}", "remove activate or output_width")


def caution_last_output(s: Subject) -> Finding | None:
    """The layer executed last is usually an output, too, if any layer is marked with output: true."""
    missing = s.is_final and not s.layer.output
    return Finding("other layers are marked, but the last one is not", "add output: true") if missing else None


def hint_input_pooling(s: Subject) -> Finding | None:
    """Pooling the network's input costs time that scaling the source would not."""
    return Finding("the first layer pools") if s.is_start and s.layer.has_pool else None


def constraint_streaming_prefix(s: Subject) -> Finding | None:
    """Only layers at the beginning of the network can stream."""
    layer = s.layer
    if not layer.streaming or layer.previous not in s.network or s.network[layer.previous].streaming:
        return None
    return Finding(f"layer {layer.previous} before it does not stream")


def constraint_chw_first_layer(s: Subject) -> Finding | None:
    """CHW is a format of the network's input; data between layers are always HWC."""
    return Finding("data_format = CHW", "remove data_format") if s.layer.chw and not s.is_start else None


def caution_wide_intermediate(s: Subject) -> Finding | None:
    """A 32-bit output is meant for the host, not for another layer."""
    return Finding("output_width = 32") if s.layer.output_width != 8 and not s.is_final else None


def caution_source_gap(s: Subject) -> Finding | None:
    """Operands of an element-wise layer are interleaved: their write_gap is the number of operands minus 1."""
    if not s.layer.eltwise:
        return None
    wrong = [layer.label for layer in _source_layers(s) if layer.write_gap != s.layer.operands - 1]
    return Finding(f"{', '.join(wrong)} without write_gap: {s.layer.operands - 1}") if wrong else None


def caution_read_gap(s: Subject) -> Finding | None:
    """A layer that reads interleaved data needs the read_gap that belongs to the producer's write_gap."""
    layer = s.layer
    if layer.in_sequences is not None or layer.previous not in s.network or layer.eltwise:
        return None
    gap = s.network[layer.previous].write_gap
    return (
        Finding(f"read_gap = {layer.read_gap}, write_gap of layer {layer.previous} = {gap}")
        if (gap != layer.read_gap)
        else None
    )


def caution_input_offset(s: Subject) -> Finding | None:
    """Input is read where the layer before wrote, unless in_sequences names another source."""
    layer = s.layer
    if layer.in_sequences is not None or layer.previous not in s.network:
        return None
    written = s.network[layer.previous].out_offset
    if layer.input_offset == written:
        return None
    return Finding(f"in_offset = {layer.input_offset:#x}, layer {layer.previous} writes to {written:#x}")


def constraint_equal_strides(s: Subject) -> Finding | None:
    """2D layers have the same pool_stride for rows and columns."""
    layer = s.layer
    if layer.operator == "conv1d" or layer.in_size[1] == 1:
        return None
    if layer.pool_stride[0] != layer.pool_stride[1]:
        return Finding(f"pool_stride = {list(layer.pool_stride)}")
    return None


def constraint_stride(s: Subject) -> Finding | None:
    """Convolutions have stride 1; use pool_stride to subsample."""
    layer = s.layer
    if layer.operator == "convtranspose2d" or layer.stride == (1, 1):
        return None
    return Finding(f"stride = {list(layer.stride)}", "set stride to 1")


def constraint_flatten_size(s: Subject) -> Finding | None:
    """flatten takes at most 256 pixels per channel."""
    pixels = s.layer.flat_pixels
    return Finding(f"{_size(s.layer.pooled_size)} = {pixels} pixels", "pool first") if pixels > _MAX_FLATTEN else None


def caution_flatten_single(s: Subject) -> Finding | None:
    """flatten is not needed for one pixel per channel."""
    return Finding("the data are 1×1") if s.layer.flatten and s.layer.flat_pixels == 1 else None


def constraint_pad_range(s: Subject) -> Finding | None:
    """pad is at most 2."""
    return Finding(f"pad = {s.layer.pad[0]}") if max(s.layer.pad) > _MAX_PAD else None


def constraint_pad_passthrough(s: Subject) -> Finding | None:
    """A layer without convolution cannot pad."""
    return (
        Finding(f"pad = {s.layer.pad[0]}", "set pad to 0")
        if not s.layer.is_convolution and any(s.layer.pad)
        else (None)
    )


def constraint_pad_kernel(s: Subject) -> Finding | None:
    """pad must be smaller than the kernel."""
    layer = s.layer
    if all(pad < kernel for pad, kernel in zip(layer.pad, layer.kernel, strict=True)):
        return None
    return Finding(f"pad = {layer.pad[0]}, kernel {_size(layer.kernel)}", "set pad to 0")


def constraint_dimensions(s: Subject) -> Finding | None:
    """Rows and columns are limited."""
    layer, limit = s.layer, s.device.dimension
    for what, size in (("input", layer.in_size), ("output", layer.out_size)):
        if max(size) > limit:
            fix = "use smaller input, or fold it into more channels"
            return Finding(f"the {what} is {_size(size)}, the {s.device.name} supports up to {limit}×{limit}", fix)
    return None


def constraint_passthrough_activation(s: Subject) -> Finding | None:
    """A layer without convolution has no activation."""
    if s.layer.is_convolution or s.layer.activation == "none":
        return None
    return Finding(f"activate = {s.layer.activation}", "move the activation to a layer with convolution")


def constraint_buffer_shift(s: Subject) -> Finding | None:
    """buffer_shift is for passthrough layers."""
    return Finding(f"operation = {s.layer.operator}") if s.layer.buffer_shift and s.layer.is_convolution else None


NETWORK_RULES = (
    constraint_output_offset,
    caution_last_output,
    constraint_wide_output_activation,
    hint_input_pooling,
    constraint_streaming_prefix,
    constraint_chw_first_layer,
    caution_wide_intermediate,
    caution_source_gap,
    caution_read_gap,
    caution_input_offset,
    constraint_equal_strides,
    constraint_stride,
    constraint_flatten_size,
    caution_flatten_single,
    constraint_pad_range,
    constraint_pad_passthrough,
    constraint_pad_kernel,
    constraint_dimensions,
    constraint_passthrough_activation,
    constraint_buffer_shift,
)
