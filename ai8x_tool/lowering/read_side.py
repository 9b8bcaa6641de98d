"""RPTR, ENA: address of the input, and the processors that read it."""

from __future__ import annotations

from ai8x_tool.device.bits import quadrant_bits
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping


def read_pointer(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of RPTR."""
    return {"address": mapped.input_offset // 4}


def enables(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of ENA."""
    used = quadrant_bits(mapped.processors, quadrant)
    kernels = used if mapped.layer.is_convolution and not mapped.layer.bypass else 0
    return {"processors": used, "kernels": kernels}
