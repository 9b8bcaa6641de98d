"""TPTR: the layer's range in the compute cache (TRAM)."""

from __future__ import annotations

from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.lowering.post_processing import LONG_FLATTEN
from ai8x_tool.mapping import LayerMapping


def tram_pointer(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of TPTR."""
    layer, view, product = mapped.layer, mapped.view, mapped.flat_product
    streams_later = mapped.streaming and layer.index > 0
    pointwise = view.operator in ("conv2d", "linear") and view.kernel == (1, 1)
    if view.operator == "conv1d" or (pointwise and not streams_later):
        return {"start": product, "maximum": 2 * product + 1} if product >= LONG_FLATTEN else {"maximum": 0}
    if not streams_later:
        return {"maximum": mapped.tram - 1}
    start = sum(m.tram * m.view.input_passes for m in context.mapping.layers if m.layer.index < layer.index)
    return {"start": start, "maximum": mapped.tram - 1 + start}
