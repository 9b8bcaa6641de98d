"""FIFO control, and the quadrants that a FIFO feeds."""

from __future__ import annotations

from ai8x_tool.device import registers as tables
from ai8x_tool.device.facts import QUADRANTS
from ai8x_tool.lowering.options import Context
from ai8x_tool.lowering.steps import Write

_THRESHOLDS = 0x108
_FAST_CONTROL = 0xA0
_COMPLETE = 1 << 11


def is_fed(context: Context, quadrant: int) -> bool:
    """Return whether the input uses one of the first four processors of `quadrant`."""
    return bool(context.mapping.start.own_processors >> 16 * quadrant & 0xF)


def is_group(context: Context) -> bool:
    """Return whether the fast FIFO feeds a group of processors."""
    processors = context.mapping.start.own_processors
    return context.mapping.options.fast_fifo and not (processors != 1 and processors & 0xE == 0)


def control_writes(context: Context) -> list[Write]:
    """Return the writes that configure the FIFO in use, which end ``cnn_configure()``; none without a FIFO."""
    if not context.fifo:
        return []
    if context.mapping.options.fast_fifo:
        return [Write(tables.FAST_FIFO_CONTROL, _FAST_CONTROL, "FAST_FIFO_CONTROL")]
    mapped = context.mapping.start
    value = _THRESHOLDS
    if context.device.fifo_complete_flag:
        value |= _COMPLETE
    for channel in range(mapped.layer.channels_in):
        fifo = channel % QUADRANTS
        if mapped.own_processors >> 16 * fifo & 1:
            value |= 1 << (12 + fifo)
    return [Write(context.device.base + tables.FIFO_CONTROL, value, "FIFO_CONTROL")]
