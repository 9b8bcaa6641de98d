"""MCNT, MCNT1, MCNT2, OCHAN: the layer's range in kernel memory."""

from __future__ import annotations

from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.lowering.layer_control import weight_bits
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping


def start_and_remainder(mapped: LayerMapping) -> tuple[int, int]:
    """Return the index of the layer's first kernel, and the offset in bytes of the first column from that kernel."""
    if mapped.view.operator == "none":
        return 0, 0
    kernel, remainder = divmod(COLUMN_BYTES * mapped.kernels.offset, mapped.view.kernel_area)
    return (_x4_index(kernel) if mapped.calcx4 else kernel), remainder


def _x4_index(kernel: int) -> int:
    """Return the index at which `kernel` is stored in kernel memory that is read four kernels at a time."""
    if kernel < 4096:
        return kernel % 4 * 1024 + kernel // 4
    extra = kernel - 4096
    return 4096 + extra % 4 * 256 + extra // 4


def _length(mapped: LayerMapping, context: Context) -> int:
    layer, bits = mapped.layer, weight_bits(mapped)
    count = layer.channels_out // layer.groups if layer.bypass else mapped.kernels.count
    length = (count - 1) * bits
    if mapped.calcx4 and context.is_start(mapped):
        length = (length + bits + 3) // 4 - bits
    return length


def kernel_count(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of MCNT (MAX78000): start and end."""
    view = mapped.view
    if view.operator == "none":
        return {"end": 0 if view.emulated else 8 * (view.output_passes - 1)}
    start = 8 * start_and_remainder(mapped)[0]
    return {"start": start, "end": start + _length(mapped, context)}


def kernel_end(mapped: LayerMapping, context: Context, quadrant: int) -> Fields | None:
    """Return the fields of MCNT1 (MAX78002); None for layers without convolution."""
    if mapped.view.operator == "none":
        return None
    return {"end": 8 * start_and_remainder(mapped)[0] + _length(mapped, context)}


def kernel_start(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of MCNT2 (MAX78002)."""
    if mapped.view.operator == "none":
        return {"start": 8 * (mapped.view.output_passes - 1)}
    return {"start": 8 * start_and_remainder(mapped)[0]}


def output_channels(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of OCHAN (MAX78002)."""
    layer = mapped.layer
    if layer.bypass:
        return {"count": layer.channels_out - 1}
    if mapped.view.operator == "none":
        return {"count": mapped.time_slots}
    if layer.depthwise:
        return {"count": (mapped.time_slots + 1) * mapped.view.input_passes - 1}
    count = mapped.kernels.output_count - 1
    return {"count": count // 4 if mapped.calcx4 else count}
