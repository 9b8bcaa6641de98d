"""WPTR, WTOFF, WMOFF, WCOFF: addresses of the results."""

from __future__ import annotations

from ai8x_tool.device.bits import lowest_bit
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping


def write_pointer(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of WPTR: the word offset, combined by OR with the first data instance."""
    device, outputs = context.device, mapped.output_map
    words = (mapped.out_offset - mapped.view.skipped_bytes) // 4
    shift = device.write_instance_shift
    if mapped.local_sources:
        processor = (lowest_bit(outputs >> 4 * quadrant) & ~3) + 4 * quadrant
        return {"address": words | processor * device.instance_words_per_processor}
    if mapped.layer.depthwise and not mapped.broadcast:
        first = lowest_bit(mapped.processors) // 16
        if quadrant < first:
            return {"address": 0}
        target = 16 * (quadrant - first) + lowest_bit(outputs)
        if quadrant != first:
            target -= lowest_bit(mapped.processors) % 16
        return {"address": words | target // 4 << shift}
    if mapped.view.operator != "none":
        return {"address": words | lowest_bit(outputs) // 4 << shift}
    inside = outputs & (0xFFFF << 16 * quadrant)
    return {"address": words | lowest_bit(inside) // 4 << shift if inside else words}


def time_slot_offset(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of WTOFF."""
    layer, view, words = mapped.layer, mapped.view, context.device.instance_words_per_processor
    pointwise = view.operator in ("conv2d", "linear")
    if pointwise and view.kernel == (1, 1) and not layer.depthwise:
        return {"offset": 1}
    if pointwise and layer.depthwise and not mapped.broadcast:
        return {"offset": 4 * words}
    if view.operator == "none":
        several = mapped.processors.bit_count() > 4 or (layer.operands > 1 and view.input_passes > 1)
        return {"offset": 4 * words if several else words}
    return {"offset": 0}


def kernel_offset(mapped: LayerMapping, context: Context, quadrant: int) -> Fields | None:
    """Return the fields of WMOFF; None for layers without convolution."""
    if mapped.view.operator == "none":
        return None
    return {"offset": 1 << context.device.write_instance_shift}


def pass_offset(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of WCOFF."""
    if mapped.view.output_passes == 1:
        return {"offset": 0}
    return {"offset": mapped.layer.output_width // 8 * (mapped.write_gap + 1)}
