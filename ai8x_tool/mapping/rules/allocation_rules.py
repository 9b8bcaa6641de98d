"""Rules about the places of a layer's data and about its processors."""

from __future__ import annotations

from ai8x_tool.device.bits import highest_bit, lowest_bit, quadrant_bits
from ai8x_tool.mapping.rules.subject import LayerSubject, source_region
from ai8x_tool.mapping.words import block_read_ahead, input_words, written_words
from ai8x_tool.network.layer import BINARY
from ai8x_tool.network.sizes import passes, processors_per_pass
from ai8x_tool.rule import Finding

_MAX_SHIFT = 15
_FRAME_LIMIT = 1 << 21
_ROW_DISTANCE = 1 << 16
_TRANSPOSED_PADS = (0, 1, 2)


def constraint_weight_width_mix(s: LayerSubject) -> Finding | None:
    """1-bit and binary weights cannot be mixed in one network."""
    mixed = s.layer.bits == BINARY and any(layer.bits == 1 for layer in s.network.layers)
    return Finding("both occur") if mixed else None


def constraint_output_shift(s: LayerSubject) -> Finding | None:
    """The total output shift (output_shift plus 8 minus the weight bits) must be −15 … 15."""
    if abs(s.layer.shift) <= _MAX_SHIFT:
        return None
    implicit = 8 - abs(s.layer.bits)
    low, high = -_MAX_SHIFT - implicit, _MAX_SHIFT - implicit
    return Finding(f"output_shift = {s.layer.shift - implicit}; with {abs(s.layer.bits)} bits {low} … {high} are legal")


def constraint_chw_instances(s: LayerSubject) -> Finding | None:
    """CHW input must use one processor of each group of four, because each channel needs its own data memory."""
    if not s.at.chw:
        return None
    shared = [4 * i for i in range(16) if (s.at.own_processors >> 4 * i & 15).bit_count() > 1]
    return Finding(f"processors {shared[0]} … {shared[0] + 3} share one") if shared else None


def constraint_channels(s: LayerSubject) -> Finding | None:
    """A layer must have at most 1024 channels."""
    channels = max(s.layer.channels_in, s.layer.channels_out)
    return Finding(f"{channels} channels") if channels > s.device.channels else None


def constraint_frame_size(s: LayerSubject) -> Finding | None:
    """rows × columns × passes must stay below 2^21."""
    size = s.view.in_size[0] * s.view.in_size[1] * s.view.input_passes
    return Finding(f"{size}") if size >= _FRAME_LIMIT else None


def _capacity(s: LayerSubject, offset: int, needed: int, how: str, fix: str) -> Finding | None:
    size = s.device.instance_size
    if offset + needed <= size:
        return None
    return Finding(
        f"{how} = {needed:,} bytes from offset {offset:#x} on, {max(0, size - offset):,} of {size:,} are left", fix
    )


def constraint_input_size(s: LayerSubject) -> Finding | None:
    """The input must fit the data memory of its processors (one instance for each group of four)."""
    layer, view = s.layer, s.view
    if s.at.streaming:
        return None
    pixels = view.in_size[0] * view.in_size[1]
    unit = 1 if s.at.chw else 4
    needed = pixels * view.input_passes * layer.operands * unit
    how = (
        f"{view.in_size[0]}×{view.in_size[1]} pixels × {view.input_passes} passes × {layer.operands} operands × {unit}"
    )
    fix = "use a smaller input, CHW format, streaming with a FIFO, or fold the input into more channels"
    return _capacity(s, s.at.input_offset, needed, how, fix)


def constraint_output_size(s: LayerSubject) -> Finding | None:
    """The output must fit the data memory of its processors (one instance for each group of four)."""
    layer, view = s.layer, s.view
    if s.at.streaming and s.at.next is not None:
        return None
    rows, columns = layer.out_size
    unit = layer.output_width // 2
    needed = (rows * columns + view.extra_words) * view.output_passes * unit
    how = f"{rows}×{columns} pixels × {view.output_passes} passes × {unit}"
    return _capacity(s, s.at.out_offset, needed, how, "use another out_offset, pool earlier, or stream this layer")


def _bits_needed(channels: int) -> str:
    rounds, count = passes(channels), processors_per_pass(channels)
    if rounds == 1:
        return f"{count} bits are needed, one for each of the {channels} channels"
    return f"{count} bits are needed: {channels} channels take {rounds} passes over a multiple of 4 processors"


def _example(channels: int) -> str:
    return f"for example {(1 << processors_per_pass(channels)) - 1:#018x}"


def constraint_processors(s: LayerSubject) -> Finding | None:
    """processors must have one bit for each input channel of a pass."""
    have = s.at.own_processors.bit_count()
    if have == s.view.inputs_per_pass:
        return None
    channels = s.layer.channels_in
    return Finding(
        f"processors = {s.at.own_processors:#018x} has {have} bits; {_bits_needed(channels)}", _example(channels)
    )


def constraint_output_processors(s: LayerSubject) -> Finding | None:
    """output_processors (by default the next layer's processors) must have one bit for each output channel per pass."""
    have = s.at.output_map.bit_count()
    if have == s.view.outputs_per_pass:
        return None
    channels = s.layer.channels_out
    return Finding(f"{s.at.output_map:#018x} has {have} bits; {_bits_needed(channels)}", _example(channels))


def constraint_write_increment(s: LayerSubject) -> Finding | None:
    """output passes × (write_gap + 1), the step of the write pointer, must not exceed the limit of the device."""
    passes = 1 if s.layer.operator == "none" else s.view.output_passes
    step, limit = passes * (s.at.write_gap + 1), s.device.pointer_increment
    if step <= limit:
        return None
    values = f"{passes} × {s.at.write_gap + 1} = {step}, the {s.device.name} supports up to {limit}"
    return Finding(values, "lower write_gap")


def constraint_row_distance(s: LayerSubject) -> Finding | None:
    """On the MAX78002, a row must end less than 65,536 words before the next one begins."""
    layer, (_, columns) = s.layer, s.view.in_size
    if not s.device.last_window_counters or layer.flatten:
        return None
    stride = layer.pool_stride[1]
    columns *= 2 if s.view.operator == "convtranspose2d" else 1
    last = (columns - layer.pool[1] - layer.pool_dilation[1] + 1) // stride * stride
    left = 1 if s.view.operator == "conv1d" else columns - last
    pixels = left + (layer.pool_stride[0] - 1) * columns
    words = layer.operands * s.view.input_passes * (s.at.read_gap + 1)
    if pixels * words < _ROW_DISTANCE:
        return None
    return Finding(f"{pixels} pixels × {words} words = {pixels * words}", "lower read_gap or pool_stride")


def constraint_time_slots(s: LayerSubject) -> Finding | None:
    """A depthwise layer with 32-bit output that moves its channels can have at most four in each quadrant."""
    if not s.layer.depthwise or s.at.broadcast or s.layer.output_width == 8:
        return None
    most = max(quadrant_bits(s.at.processors, quadrant).bit_count() for quadrant in range(4))
    return Finding(f"{most} processors", "use output_processors equal to processors") if most > 4 else None


def constraint_padded_multi_pass(s: LayerSubject) -> Finding | None:
    """On the MAX78002, a Conv1d with more than 64 input channels cannot pad."""
    if s.device.padded_multi_pass_conv1d or s.layer.operator != "conv1d":
        return None
    padded = s.layer.pad[0] > 0 and s.view.input_passes > 1
    return Finding(f"pad = {s.layer.pad[0]}, {s.layer.channels_in} channels", "set pad to 0") if padded else None


def constraint_eltwise_conv1d(s: LayerSubject) -> Finding | None:
    """An element-wise operation cannot be fused with Conv1d."""
    fused = s.layer.operator == "conv1d" and s.layer.operands > 1
    return Finding(f"{s.layer.operands} operands", "use a layer of its own") if fused else None


def constraint_pool_last(s: LayerSubject) -> Finding | None:
    """Pooling after an element-wise operation supports at most two operands."""
    layer = s.layer
    return Finding(f"{layer.operands} operands") if not layer.pool_first and layer.operands > 2 else None


def constraint_dilation_scratch(s: LayerSubject) -> Finding | None:
    """A widely dilated Conv1d needs space before out_offset, because it also writes there."""
    if s.at.out_offset >= s.view.skipped_bytes:
        return None
    return Finding(f"out_offset = {s.at.out_offset:#x}, at least {s.view.skipped_bytes:#x} is needed")


def constraint_passthrough_shift(s: LayerSubject) -> Finding | None:
    """A layer without convolution can neither shift nor write 32-bit output."""
    layer = s.layer
    if layer.is_convolution or (layer.shift == 0 and layer.output_width == 8):
        return None
    return Finding(f"output_shift = {layer.shift}, output_width = {layer.output_width}")


def constraint_pooled_passes(s: LayerSubject) -> Finding | None:
    """On the MAX78000, pooling without convolution must have a single pass, of at most 64 channels."""
    layer, limit = s.layer, s.device.pooled_passes
    if layer.is_convolution or not layer.has_pool or s.view.input_passes <= limit or layer.pooled_size == (1, 1):
        return None
    return Finding(f"{layer.channels_in} channels take {s.view.input_passes} passes", "pool in the next convolution")


def constraint_passthrough_map(s: LayerSubject) -> Finding | None:
    """A layer without convolution must write as many channels in each quadrant as it reads there, without holes."""
    if s.layer.is_convolution:
        return None
    for quadrant in range(4):
        have = quadrant_bits(s.at.output_map, quadrant)
        count = quadrant_bits(s.at.processors, quadrant).bit_count()
        shifted = have >> lowest_bit(have) if have else 0
        if shifted != (1 << count) - 1:
            fix = "use output_processors equal to processors"
            return Finding(f"quadrant {quadrant}: {count} inputs, output map {have:#06x}", fix)
    return None


def constraint_transposed_pad(s: LayerSubject) -> Finding | None:
    """A transposed convolution must have pad 0, 1 or 2 and output_pad 1; other layers cannot have output_pad."""
    layer = s.layer
    if layer.operator != "convtranspose2d":
        return Finding(f"output_pad = {list(layer.output_pad)}") if any(layer.output_pad) else None
    if set(s.view.pad) <= set(_TRANSPOSED_PADS) and layer.output_pad == (1, 1):
        return None
    return Finding(f"pad = {layer.pad[0]}, output_pad = {list(layer.output_pad)}")


def constraint_groups(s: LayerSubject) -> Finding | None:
    """Grouped convolution must be depthwise: groups = input channels = output channels."""
    layer = s.layer
    if layer.groups in (1, layer.channels_in) and layer.groups in (1, layer.channels_out):
        return None
    return Finding(f"groups = {layer.groups}, {layer.channels_in} inputs, {layer.channels_out} outputs")


def constraint_depthwise_combination(s: LayerSubject) -> Finding | None:
    """A depthwise layer can have neither flatten nor bias_group."""
    wrong = s.layer.depthwise and (s.layer.flatten or s.at.bias_groups is not None)
    return Finding("flatten" if s.layer.flatten else "bias_group") if wrong else None


def constraint_depthwise_alignment(s: LayerSubject) -> Finding | None:
    """Depthwise outputs must start at a multiple of 4; so must inputs that span quadrants."""
    if not s.layer.depthwise:
        return None
    if lowest_bit(s.at.output_map) % 4:
        return Finding(f"first output processor {lowest_bit(s.at.output_map)}")
    first = lowest_bit(s.at.processors)
    spans = s.at.processors >> max(first, 0) >= 1 << 16
    return Finding(f"first processor {first}") if first % 4 and spans else None


def constraint_flatten_combination(s: LayerSubject) -> Finding | None:
    """flatten must belong to a 1×1 convolution or linear layer without pooling or streaming."""
    layer = s.layer
    wrong = not layer.is_convolution or layer.has_pool or s.at.streaming or layer.kernel != (1, 1)
    fix = "move pooling to a preceding layer"
    return Finding(f"operation = {layer.operator}", fix) if layer.flatten and wrong else None


def constraint_eltwise_emulation(s: LayerSubject) -> Finding | None:
    """On the MAX78000, an element-wise layer with more than two operands or passes can neither pool nor convolve."""
    layer = s.layer
    wrong = layer.is_convolution or layer.has_pool or max(layer.pool_stride) > 1
    if not (s.view.emulated and wrong):
        return None
    return Finding(f"{layer.operands} operands, {s.view.input_passes} passes", "use a layer of its own")


def constraint_eltwise_rows(s: LayerSubject) -> Finding | None:
    """On the MAX78000, rows × passes must not exceed a limit in element-wise layers of over two operands or passes."""
    rows, limit = s.view.in_size[0] * s.view.input_passes, s.device.dimension
    if not s.view.emulated or rows <= limit:
        return None
    return Finding(
        f"{s.view.in_size[0]} rows × {s.view.input_passes} passes = {rows}, the limit is {limit}", "use fewer rows"
    )


def constraint_eltwise_bias(s: LayerSubject) -> Finding | None:
    """On the MAX78002, an element-wise operation cannot be fused with a convolution that has a bias."""
    if s.device.eltwise_convolution_bias or s.layer.operands == 1 or not s.layer.is_convolution:
        return None
    return Finding("the convolution has a bias", "use a layer of its own") if s.layer.has_bias else None


def constraint_bias_group(s: LayerSubject) -> Finding | None:
    """bias_group must name quadrants that the network uses."""
    if s.at.bias_groups is None or s.options.ignore_bias_groups:
        return None
    used = s.placed.final.output_map
    for at in s.placed.layers:
        used |= at.own_processors
    unused = [q for q in s.at.bias_groups if not quadrant_bits(used, q)]
    return Finding(f"quadrant {unused[0]} is not used") if unused else None


def constraint_readahead(s: LayerSubject) -> Finding | None:
    """With readahead, input and output must begin, and end, in different 16 KiB memory blocks and never share one."""
    if not s.at.readahead or not s.at.output_map:
        return None
    block, read, written = s.device.sub_instance_size // 4, input_words(s.at), written_words(s.at)
    first, last = min(words.first for words in written), max(words.last for words in written)
    same = read.first // block == first // block or read.last // block == last // block
    shared = None if same else block_read_ahead(s.at, block)
    if not same and shared is None:
        return None
    values = f"input {4 * read.first:#x} … {4 * read.last + 3:#x}, output {4 * first:#x} … {4 * last + 3:#x}"
    return Finding(values if shared is None else f"{values}: block {shared} is read and written at the same time")


def _source_maps(s: LayerSubject) -> list[int]:
    regions = [source_region(s.placed, source) for source in s.layer.inputs]
    return [region.processors for region in regions if region is not None]


def constraint_operand_maps(s: LayerSubject) -> Finding | None:
    """All operands of an element-wise layer must be written by the same output processors."""
    maps = _source_maps(s)
    if s.layer.operands == 1 or len(set(maps)) <= 1:
        return None
    return Finding(", ".join(f"{m:#018x}" for m in maps))


def caution_source_processors(s: LayerSubject) -> Finding | None:
    """Each processor of a layer should get data from one of its sources."""
    union = 0
    for processors in _source_maps(s):
        union |= processors
    if not union or union == s.at.own_processors:
        return None
    return Finding(f"processors = {s.at.own_processors:#018x}, the sources write to {union:#018x}")


def caution_wide_alignment(s: LayerSubject) -> Finding | None:
    """32-bit outputs should have output processors that start at a multiple of 4 and have no holes."""
    layer = s.layer
    holes = s.at.output_map.bit_count() != highest_bit(s.at.output_map) - lowest_bit(s.at.output_map) + 1
    if layer.output_width == 8 or not (holes or lowest_bit(s.at.output_map) % 4):
        return None
    return Finding(f"output map {s.at.output_map:#018x}")


def hint_channel_multiple(s: LayerSubject) -> Finding | None:
    """Channel counts that are multiples of 4 use memory best."""
    hidden = not s.is_start and s.layer.channels_in % 4
    return Finding(f"{s.layer.channels_in} channels") if hidden else None


ALLOCATION_RULES = (
    constraint_weight_width_mix,
    constraint_output_shift,
    constraint_chw_instances,
    constraint_channels,
    constraint_frame_size,
    constraint_input_size,
    constraint_output_size,
    constraint_processors,
    constraint_output_processors,
    constraint_write_increment,
    constraint_row_distance,
    constraint_time_slots,
    constraint_padded_multi_pass,
    constraint_eltwise_conv1d,
    constraint_pool_last,
    constraint_dilation_scratch,
    constraint_passthrough_shift,
    constraint_pooled_passes,
    constraint_passthrough_map,
    constraint_transposed_pad,
    constraint_groups,
    constraint_depthwise_combination,
    constraint_depthwise_alignment,
    constraint_flatten_combination,
    constraint_eltwise_emulation,
    constraint_eltwise_rows,
    constraint_eltwise_bias,
    constraint_bias_group,
    constraint_readahead,
    constraint_operand_maps,
    caution_source_processors,
    caution_wide_alignment,
    hint_channel_multiple,
)
