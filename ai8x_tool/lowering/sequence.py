"""NEXT: the layer executed next, and the hidden accumulator-reset layer."""

from __future__ import annotations

from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping

RESET_LAYER: dict[str, int | None] = {
    "RCNT": 0x1_0000,
    "CCNT": 0x1_0000,
    "STRIDE": 0x10,
    "WPTR": None,
    "WTOFF": None,
    "RPTR": None,
    "LCTL": 0x920,
    "ONED": 0x100,
    "POST": 0x0300_0000,
    "ENA": 1,
}
"""Registers of the hidden layer that clears the pooling accumulator; None: the value of the following layer."""


def next_layer(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of NEXT."""
    layer, mapping = mapped.layer, context.mapping
    last = layer.index == mapping.layers[-1].layer.index
    if context.options.link_layers:
        return {"stop": 1} if mapped is mapping.final else {"link": 1, "target": mapped.hardware_index + 1}
    if mapped.next is None:
        return {} if last else {"stop": 1}
    if mapped.next != layer.index + 1:
        return {"link": 1, "target": mapping[mapped.next].hardware_index}
    if mapped.snoop_target is not None:
        return {"link": 1, "target": mapping[mapped.snoop_target].hardware_index}
    return {}


def layer_count(context: Context) -> Fields:
    """Return the fields of LCNT."""
    mapping = context.mapping
    return {"last": mapping.final.layer.index + mapping.hidden_layers, "first": mapping.start.hardware_index}
