"""STR1, STR2, FMAX, IFRM: start of streaming layers, and lengths of their buffers."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.device.bits import ceil4, ceil_div
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping
from ai8x_tool.mapping.streaming import Stream, rollover, stream_values


def _stream(mapped: LayerMapping, context: Context) -> Stream:
    """Return the streaming values; with the pipeline, the row step of the first layer is one word longer."""
    stream = stream_values(mapped, context.mapping.placed)
    longer = context.pipeline and context.is_start(mapped) and stream.delta2 > 0
    return replace(stream, delta2=stream.delta2 + 1) if longer else stream


def stream_start(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of STR1."""
    fields = {"start": _stream(mapped, context).start}
    if context.options.fifo_go and context.is_start(mapped):
        fields["fifo_go"] = 1
    return fields


def stream_deltas(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of STR2."""
    stream, layer = _stream(mapped, context), mapped.layer
    passes = 0
    if mapped.streaming and not context.is_start(mapped):
        before = [m for m in context.mapping.layers if m.layer.index < layer.index]
        passes = sum(ceil4(m.view.input_passes) if m.tcalc else m.view.input_passes for m in before)
    return {"pass_offset": passes, "delta1": stream.delta1, "delta2": stream.delta2}


def rolling_buffer(mapped: LayerMapping, context: Context, quadrant: int) -> Fields | None:
    """Return the fields of FMAX; None except for streaming layers if a FIFO is used."""
    if not (mapped.streaming and context.fifo):
        return None
    return {"words": rollover(mapped, context.mapping.placed)}


def input_frame(mapped: LayerMapping, context: Context, quadrant: int) -> Fields | None:
    """Return the fields of IFRM; None except for the first layer if a FIFO is used."""
    if not (context.fifo and context.is_start(mapped)):
        return None
    pixels = mapped.view.in_size[0] * mapped.view.in_size[1]
    return {"words": ceil_div(pixels, 4) if mapped.chw else pixels}
