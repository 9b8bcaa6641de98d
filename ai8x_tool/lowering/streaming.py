"""STR1, STR2, FMAX, IFRM: when streaming layers start and how long their buffers are. spec: registers, section 8."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import MAX78000
from ai8x_tool.device.bits import ceil4, ceil_div
from ai8x_tool.frontend.yaml.description import STOP
from ai8x_tool.lowering.options import Context
from ai8x_tool.lowering.program_rules import StreamedLayer, constraint_stream_step
from ai8x_tool.mapping import LayerMapping
from ai8x_tool.rule import require

Fields = dict[str, int]

_SAFETY_WORDS = 2
"""Words that a streaming layer of the MAX78000 waits for beyond those of its first step."""


@dataclass(frozen=True)
class Stream:
    """Streaming values of one layer, in words. `base` is the start before division by four for CHW data."""

    start: int = 0
    base: int = 0
    delta1: int = 0
    delta2: int = 0


def stream_values(mapped: LayerMapping, context: Context) -> Stream:
    """Return the streaming values of a layer; all 0 for layers that neither stream nor read the FIFO."""
    old = context.device is MAX78000
    if context.is_start(mapped):
        if not context.fifo:
            return Stream()
        return _first_max78000(mapped) if old else _first_max78002(mapped, context)
    if not mapped.layer.streaming:
        return Stream()
    return _later_max78000(mapped, context) if old else _later_max78002(mapped, context)


def _first_max78000(mapped: LayerMapping) -> Stream:
    layer = mapped.layer
    (rows, columns), pool, operands = mapped.view.in_size, layer.pool, layer.operands
    if layer.streaming:
        words = (pool[0] - 1) * columns + pool[1]
    else:
        words = ceil_div(rows * columns, 4) if layer.chw else rows * columns
    start = pool[0] * words
    delta1 = (layer.pool_stride[1] - 1) * operands if layer.streaming else 0
    delta2 = (pool[0] - 1) * columns * operands if layer.streaming else 0
    return Stream(start, start, delta1, delta2)


def _later_max78000(mapped: LayerMapping, context: Context) -> Stream:
    layer, previous = mapped.layer, context.previous(mapped)
    assert previous is not None
    before = previous.view
    row = before.pooled_size[1] + 2 * before.pad[1]
    start = row * (before.kernel[0] - 1 + layer.pool[0] - 1) + before.kernel[1] - 1 + layer.pool[1]
    delta1 = layer.pool_stride[1] * layer.operands
    delta2 = (layer.pool_stride[0] - 1) * row + layer.pool[1] * layer.operands
    start += _SAFETY_WORDS
    return Stream(start, start, delta1, delta2)


def _extents(mapped: LayerMapping) -> tuple[int, int, int]:
    """Return rows and columns that one step needs, and the padded row length."""
    layer, view = mapped.layer, mapped.view
    rows = max(layer.pool[0] * layer.pool_dilation[0], layer.pool_stride[0])
    columns = max(layer.pool[1] * layer.pool_dilation[1], layer.pool_stride[1])
    return rows, columns, view.in_size[1] + 2 * view.pad[1]


def _first_max78002(mapped: LayerMapping, context: Context) -> Stream:
    layer, view = mapped.layer, mapped.view
    (rows, width), (stride_rows, stride_columns) = view.in_size, layer.pool_stride
    row_extent, column_extent, padded = _extents(mapped)
    single = stride_rows == 1 and layer.pool[0] == 1
    steps = width // stride_columns
    if steps * stride_columns + layer.pool[1] - 1 > width:
        steps -= 1
    skipped = max(0, width - steps * stride_columns)
    quarter = 4 if layer.chw else 1
    if not layer.streaming:
        start = rows * width
    elif single:
        start = column_extent
    else:
        start = (row_extent * padded + view.pad[1] + 2 * column_extent) * layer.operands
        start += stride_columns if layer.readahead else 0
    divided = ceil_div(start, quarter)
    if not layer.streaming:
        return Stream(divided, start)
    delta1 = stride_columns * layer.operands - int(single)
    delta2 = delta1 + skipped
    if stride_rows > 1:
        delta2 = (stride_rows - 1) * width + skipped + layer.pool[1] - 1
    delta2 = ceil_div(delta2, quarter)
    delta2 += int(context.pipeline and delta2 > 0)
    return Stream(divided, start, ceil_div(delta1, quarter), delta2)


def _later_max78002(mapped: LayerMapping, context: Context) -> Stream:
    layer, view = mapped.layer, mapped.view
    width, (stride_rows, stride_columns) = view.in_size[1], layer.pool_stride
    row_extent, column_extent, padded = _extents(mapped)
    steps = width // column_extent
    if steps * stride_columns + layer.pool[1] > width:
        steps -= 1
    adjust = 0 if column_extent == 1 else width - steps * column_extent
    last = layer.next == STOP or not context.mapping[layer.next].layer.streaming
    rows = view.pad[1] if view.pad[1] else stride_rows
    start = rows * padded + (row_extent * padded + view.pad[1] + 2 * column_extent) * layer.operands
    start += stride_columns if layer.readahead else 0
    start += adjust * stride_columns if last else 0
    delta1 = stride_columns * layer.operands
    delta2 = delta1 + adjust if stride_rows == 1 else (stride_rows - 1) * width + adjust
    return Stream(start, start, delta1, delta2)


def rollover(mapped: LayerMapping, context: Context) -> int:
    """Return the length in words of a streaming layer's rolling buffer. spec: registers, 8.3 and 8.5."""
    layer, view = mapped.layer, mapped.view
    passes = view.input_passes
    stream, width = stream_values(mapped, context), view.in_size[1]
    if context.device is MAX78000:
        step = max(layer.stride[1], layer.pool_stride[1], layer.pool[1])
        length = 12 if layer.chw else stream.start + (layer.pool[0] - 1) * width + step
        return ceil_div(length, passes) * passes
    row_extent, column_extent, padded = _extents(mapped)
    if context.is_start(mapped):
        length = stream.base + column_extent + (layer.pool_stride[1] - 1) * padded
        return length * layer.pool_stride[1] * 4 if layer.chw else length
    length = stream.start + (passes - 1) * (row_extent * width + view.pad[1] + column_extent) + column_extent
    return ceil_div(length, passes) * passes


def stream_start(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """STR1."""
    fields = {"start": stream_values(mapped, context).start}
    if context.options.fifo_go and context.is_start(mapped):
        fields["fifo_go"] = 1
    return fields


def stream_deltas(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """STR2."""
    stream, layer = stream_values(mapped, context), mapped.layer
    require(constraint_stream_step, StreamedLayer(layer, context.device, step=stream.delta2))
    passes = 0
    if layer.streaming and not context.is_start(mapped):
        before = [m for m in context.mapping.layers if m.layer.index < layer.index]
        passes = sum(ceil4(m.view.input_passes) if m.tcalc else m.view.input_passes for m in before)
    return {"pass_offset": passes, "delta1": stream.delta1, "delta2": stream.delta2}


def rolling_buffer(mapped: LayerMapping, context: Context, quadrant: int) -> Fields | None:
    """FMAX; written for streaming layers when a FIFO is used."""
    if not (mapped.layer.streaming and context.fifo):
        return None
    return {"words": rollover(mapped, context)}


def input_frame(mapped: LayerMapping, context: Context, quadrant: int) -> Fields | None:
    """IFRM; written for the first layer when a FIFO is used."""
    if not (context.fifo and context.is_start(mapped)):
        return None
    pixels = mapped.view.in_size[0] * mapped.view.in_size[1]
    return {"words": ceil_div(pixels, 4) if mapped.layer.chw else pixels}
