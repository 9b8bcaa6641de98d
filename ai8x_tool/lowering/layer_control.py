"""LCTL, LCTL2: operation of the layer and participating quadrants."""

from __future__ import annotations

from ai8x_tool.device.bits import highest_bit, lowest_bit
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping


def weight_bits(mapped: LayerMapping) -> int:
    """Return the bits per weight by which counts of kernels are multiplied."""
    return 8 if mapped.layer.bypass else abs(mapped.layer.bits)


def _sources(mapped: LayerMapping, context: Context, quadrant: int) -> int:
    """Return the mask of the other quadrants whose sums or bias the master quadrant adds."""
    layer = mapped.layer
    if quadrant != context.master or not layer.is_convolution or layer.depthwise or context.quad_first(mapped):
        return 0
    sources = sum(1 << q for q in mapped.quadrants if q > context.master)
    if mapped.bias is not None and mapped.bias.quadrant not in (None, context.master):
        sources |= 1 << (mapped.bias.quadrant or 0)
    return sources


def layer_control(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of LCTL."""
    layer, view = mapped.layer, mapped.view
    fields = {
        "enable": 1,
        "chw": int(mapped.chw),
        "pool": int(layer.has_pool),
        "max_pool": int(not layer.pool_average),
        "relu": int(layer.activation == "relu"),
        "shared_output": int(not mapped.local_sources),
        "sources": _sources(mapped, context, quadrant),
        "wide": int(layer.output_width != 8),
    }
    if not context.device.kernel_size_in_layer_control:
        return fields
    if view.operator != "none":
        fields |= {"kernel_rows": view.kernel[0] - 1, "kernel_columns": view.kernel[1] - 1}
    if mapped.readahead:
        passes = view.input_passes - 1
        fields |= {"readahead": 1, "readahead_passes": passes // 4 if mapped.tcalc else passes}
    return fields | {"broadcast": int(mapped.broadcast), "bypass": int(layer.bypass)}


def layer_control_2(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of LCTL2."""
    layer, view = mapped.layer, mapped.view
    passes = mapped.flat_product & 15 if layer.flatten else view.input_passes - 1
    if view.emulated:
        passes = 0
    increment = mapped.write_gap
    if view.operator != "none":
        increment = view.output_passes * (mapped.write_gap + 1) - 1
    span = highest_bit(mapped.output_map) - (lowest_bit(mapped.output_map) & ~3)
    return {
        "input_passes": passes,
        "write_increment": increment,
        "output_span": span * weight_bits(mapped),
    }
