"""ONED: one-dimensional and element-wise processing, time slots."""

from __future__ import annotations

from ai8x_tool.lowering.kernel_range import start_and_remainder
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping

_FUNCTIONS = {"sub": 0, "add": 1, "or": 2, "xor": 3}


def one_dimensional(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of ONED."""
    layer, view = mapped.layer, mapped.view
    pointwise = view.operator in ("conv2d", "linear") and view.kernel == (1, 1)
    if view.operator == "conv1d":
        length = view.kernel[0]
    else:
        length = int(pointwise or (view.operator == "none" and layer.operands == 1))
    fields = {
        "time_slots": mapped.time_slots,
        "kernel_offset": start_and_remainder(mapped)[1],
        "kernel_length": length,
        "conv1d": int(view.operator == "conv1d"),
    }
    if layer.operands == 1:
        return fields
    return fields | {
        "eltwise": 1,
        "eltwise_function": _FUNCTIONS[layer.eltwise or "add"],
        "pool_first": int(layer.has_pool and layer.pool_first),
        "eltwise_convolution": int(view.operator != "none"),
        "operands": layer.operands - 1,
    }
