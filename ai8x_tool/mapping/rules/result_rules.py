"""Rules about layers whose results would be wrong, or at other places than the network specifies.

The device implements processor maps as counters: it processes outputs lane by lane, including unused lanes, and a layer
that does not sum writes from the first of four lanes on.
"""

from __future__ import annotations

from ai8x_tool.device.bits import bit_indices, highest_bit, lowest_bit, quadrant_bits
from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.mapping.kernel_stream import displaced_output, stream_shape
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.mapping.rules.subject import LayerSubject
from ai8x_tool.network.layer import BINARY, INPUT
from ai8x_tool.rule import Finding


def _regular(outputs: int) -> bool:
    """Return whether a map starts at a multiple of four and has no holes."""
    return lowest_bit(outputs) % LANES == 0 and outputs.bit_count() == highest_bit(outputs) - lowest_bit(outputs) + 1


def constraint_kernel_lanes(s: LayerSubject) -> Finding | None:
    """Kernels that do not fill a column need output_processors without holes that start at a multiple of 4."""
    outputs = s.at.output_map
    if _regular(outputs) or s.layer.depthwise or not s.layer.is_convolution:
        return None
    if s.layer.bypass:
        return Finding(f"bypass: true, output map {outputs:#018x}", "use output_processors without holes")
    displaced = displaced_output(stream_shape(s.at))
    if displaced is None:
        return None
    text = f"output map {outputs:#018x}: the kernels of output processor {displaced} are not stored where they are read"
    return Finding(text, "use output_processors without holes that start at a multiple of 4")


def constraint_calcx4_kernels(s: LayerSubject) -> Finding | None:
    """calcx4 needs kernels of nine weights that fill columns for every fourth output, and outputs without gaps."""
    layer, view = s.layer, s.view
    if not s.at.calcx4 or not layer.has_weights:
        return None
    if layer.depthwise or layer.flatten or view.kernel_area != COLUMN_BYTES:
        return Finding(f"kernels of {view.kernel_area} weights{', depthwise' * layer.depthwise}", "remove calcx4")
    kernels = layer.channels_out * view.input_passes
    if s.at.processors != s.at.own_processors:
        return Finding("the first layer in quad mode", "remove calcx4")
    if not _regular(s.at.output_map):
        return Finding(f"output map {s.at.output_map:#018x}", "use output_processors without holes")
    if kernels * abs(layer.bits) % (4 * 8) == 0:
        return None
    return Finding(
        f"{layer.channels_out} outputs × {view.input_passes} passes of {abs(layer.bits)} bits", "remove calcx4"
    )


def constraint_bias_lanes(s: LayerSubject) -> Finding | None:
    """A bias needs output processors without holes; with over 64 outputs, they must start at a multiple of 4."""
    outputs, layer = s.at.output_map, s.layer
    if _regular(outputs) or layer.depthwise or not layer.has_bias:
        return None
    holes = outputs.bit_count() != highest_bit(outputs) - lowest_bit(outputs) + 1
    quad = s.at.processors != s.at.own_processors
    if not holes and not quad and s.view.output_passes == 1:
        return None
    return Finding(f"output map {outputs:#018x}", "use output_processors without holes that start at a multiple of 4")


def constraint_passthrough_lane(s: LayerSubject) -> Finding | None:
    """In each quadrant, output_processors of a layer without convolution must start at a multiple of 4."""
    if s.layer.is_convolution:
        return None
    maps = [(q, quadrant_bits(s.at.output_map, q)) for q in range(4)]
    wrong = [q for q, bits in maps if bits and lowest_bit(bits) % LANES]
    values = f"quadrant {wrong[0]}: output map {maps[wrong[0]][1]:#06x}" if wrong else ""
    return Finding(values, "use other output_processors") if wrong else None


def constraint_depthwise_lanes(s: LayerSubject) -> Finding | None:
    """A depthwise layer that moves its channels must put those of a quadrant side by side, as does its output map."""
    if not s.layer.depthwise or s.at.broadcast:
        return None
    sources, targets = bit_indices(s.at.processors), bit_indices(s.at.output_map)
    quadrant = sources[0] // 16
    for number, (source, target) in enumerate(zip(sources, targets, strict=False)):
        rank = sum(p // 16 == source // 16 for p in sources[:number])
        first = (
            targets[0] if source // 16 == quadrant else 16 * (source // 16 - quadrant) + targets[0] - sources[0] % 16
        )
        if target != first // LANES * LANES + rank:
            return Finding(f"processors = {s.at.processors:#018x}, output map {s.at.output_map:#018x}")
    return None


def constraint_incomplete_pass(s: LayerSubject) -> Finding | None:
    """Weights of fewer than 8 bits need input channels that fill the processors of all passes."""
    layer, view = s.layer, s.view
    narrow = layer.has_weights and abs(layer.bits) < 8 and not (layer.depthwise or layer.flatten)
    capacity = view.input_passes * view.inputs_per_pass
    # For a single output, zeros are stored there; or the data are 0: the host stores zeros for unused processors.
    zeros = layer.bits != BINARY or (layer.inputs == (INPUT,) and not s.options.fifo)
    single = layer.channels_out == 1 and zeros
    if not narrow or single or view.input_passes == 1 or layer.channels_in == capacity:
        return None
    values = f"{layer.channels_in} channels leave processors without kernel in the last of {view.input_passes} passes"
    return Finding(values, f"use 8 bits, or {capacity} channels")


def constraint_binary_zeros(s: LayerSubject) -> Finding | None:
    """Binary weights cannot be 0, which stretched (dilation) or widened (streaming) kernels are filled with."""
    kernels = s.view.kernels
    if s.layer.bits != BINARY or kernels is None or bool(kernels.all()):
        return None
    size = "×".join(map(str, s.view.kernel))
    return Finding(f"the device executes the kernel as {size}", "use 1 or 2 bits")


def constraint_transposed_pooling(s: LayerSubject) -> Finding | None:
    """A transposed convolution must pool with stride and dilation 1 and no read_gap: it has no registers for them."""
    layer = s.layer
    wrong = max(*layer.pool_stride, *layer.pool_dilation) > 1 or (layer.has_pool and s.at.read_gap)
    if layer.operator != "convtranspose2d" or not wrong:
        return None
    values = f"pool_stride = {list(layer.pool_stride)}, pool_dilation = {list(layer.pool_dilation)}"
    return Finding(f"{values}, read_gap = {s.at.read_gap}", "pool in a layer of its own")


def constraint_quad_device(s: LayerSubject) -> Finding | None:
    """Quad mode, in which the fast FIFO feeds all four quadrants, needs a MAX78002."""
    wrong = s.is_start and s.options.quad and not s.device.next_layer
    return Finding(f"quad mode on the {s.device.name}", "use the fast FIFO alone") if wrong else None


def constraint_dilation_gap(s: LayerSubject) -> Finding | None:
    """A widely dilated Conv1d that writes before out_offset cannot have write_gap."""
    wrong = s.view.skipped_bytes and s.at.write_gap
    return Finding(f"write_gap = {s.at.write_gap}", "remove it") if wrong else None


RESULT_RULES = (
    constraint_kernel_lanes,
    constraint_calcx4_kernels,
    constraint_bias_lanes,
    constraint_passthrough_lane,
    constraint_depthwise_lanes,
    constraint_incomplete_pass,
    constraint_binary_zeros,
    constraint_transposed_pooling,
    constraint_quad_device,
    constraint_dilation_gap,
)
