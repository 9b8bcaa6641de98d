"""POST: bias, shift, activation, weight width."""

from __future__ import annotations

from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping

_WEIGHT_CODES = {1: 1, 2: 2, 4: 3}
LONG_FLATTEN = 16
"""Flattening layers with at least this product (words of the input, minus 1) use further register fields."""


def _bias(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    placement = mapped.bias
    if placement is None or quadrant not in placement.offsets:
        return {}
    offset = placement.offsets[quadrant]
    if not mapped.layer.depthwise and placement.quadrant == quadrant:
        return {"bias_enable": 1, "bias_offset": offset // 4 if mapped.calcx4 else offset}
    if mapped.layer.depthwise or context.quad_first(mapped):
        return {"bias_enable": 1, "bias_offset": offset // 4 if mapped.broadcast else offset}
    return {}


def post_processing(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of POST."""
    layer, view, product = mapped.layer, mapped.view, mapped.flat_product
    passthrough = view.operator == "none"
    fields = {
        "shift": abs(layer.shift),
        "shift_right": int(layer.shift < 0),
        "weight_bits": _WEIGHT_CODES.get(abs(layer.bits), 0),
        "time_slots": int(passthrough or layer.depthwise),
        "passthrough": int(passthrough and layer.operands == 1),
        "absolute": int(layer.activation == "abs"),
        "transposed": int(view.operator == "convtranspose2d"),
        "calcx4": int(mapped.calcx4),
        "depthwise": int(layer.depthwise),
        "tcalc": int(mapped.tcalc),
    }
    if product >= LONG_FLATTEN:
        fields |= {"flatten": 1, "flatten_high": product >> 4}
    return fields | _bias(mapped, context, quadrant)
