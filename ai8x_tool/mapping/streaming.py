"""Start of streaming layers, and lengths of their rolling buffers."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device.bits import ceil_div
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork

_MARGIN = 2
"""Words by which a MAX78000 layer that reads another streaming layer starts later than its window requires."""
_CHW_BUFFER = 12
"""Words of the rolling buffer of CHW data on the MAX78000."""


@dataclass(frozen=True)
class Stream:
    """Streaming values of one layer, in words. `base` is the start before division by four for CHW data."""

    start: int = 0
    base: int = 0
    delta1: int = 0
    delta2: int = 0


def stream_values(placed: PlacedLayer, network: PlacedNetwork) -> Stream:
    """Return the streaming values of a layer; all 0 for layers that neither stream nor read the FIFO."""
    by_window = network.device.stream_by_window
    if placed.layer is network.start.layer:
        if not network.options.fifo:
            return Stream()
        return _first_by_row(placed) if by_window else _first_by_position(placed)
    if not placed.streaming:
        return Stream()
    return _later_by_row(placed, network) if by_window else _later_by_position(placed, network)


def _first_by_row(placed: PlacedLayer) -> Stream:
    layer, pool, operands = placed.layer, placed.layer.pool, placed.layer.operands
    rows, columns = placed.view.in_size
    if placed.streaming:
        words = (pool[0] - 1) * columns + pool[1]
    else:
        words = ceil_div(rows * columns, 4) if placed.chw else rows * columns
    start = pool[0] * words
    delta1 = (layer.pool_stride[1] - 1) * operands if placed.streaming else 0
    delta2 = (pool[0] - 1) * columns * operands if placed.streaming else 0
    return Stream(start, start, delta1, delta2)


def _later_by_row(placed: PlacedLayer, network: PlacedNetwork) -> Stream:
    layer = placed.layer
    assert placed.previous is not None
    before = network[placed.previous].view
    row = before.pooled_size[1] + 2 * before.pad[1]
    start = row * (before.kernel[0] - 1 + layer.pool[0] - 1) + before.kernel[1] - 1 + layer.pool[1] + _MARGIN
    delta1 = layer.pool_stride[1] * layer.operands
    delta2 = (layer.pool_stride[0] - 1) * row + layer.pool[1] * layer.operands
    return Stream(start, start, delta1, delta2)


def _extents(placed: PlacedLayer) -> tuple[int, int, int]:
    """Return the rows and columns needed for one step, and the padded row length."""
    layer, view = placed.layer, placed.view
    rows = max(layer.pool[0] * layer.pool_dilation[0], layer.pool_stride[0])
    columns = max(layer.pool[1] * layer.pool_dilation[1], layer.pool_stride[1])
    return rows, columns, view.in_size[1] + 2 * view.pad[1]


def _first_by_position(placed: PlacedLayer) -> Stream:
    layer, view = placed.layer, placed.view
    (rows, width), (stride_rows, stride_columns) = view.in_size, layer.pool_stride
    row_extent, column_extent, padded = _extents(placed)
    single = stride_rows == 1 and layer.pool[0] == 1
    steps = width // stride_columns
    if steps * stride_columns + layer.pool[1] - 1 > width:
        steps -= 1
    skipped = max(0, width - steps * stride_columns)
    quarter = 4 if placed.chw else 1
    if not placed.streaming:
        return Stream(ceil_div(rows * width, quarter), rows * width)
    if single:
        base = column_extent
    else:
        base = (row_extent * padded + view.pad[1] + 2 * column_extent) * layer.operands
        base += stride_columns if placed.readahead else 0
    delta1 = stride_columns * layer.operands - int(single)
    delta2 = delta1 + skipped
    if stride_rows > 1:
        delta2 = (stride_rows - 1) * width + skipped + layer.pool[1] - 1
    return Stream(ceil_div(base, quarter), base, ceil_div(delta1, quarter), ceil_div(delta2, quarter))


def _later_by_position(placed: PlacedLayer, network: PlacedNetwork) -> Stream:
    layer, view = placed.layer, placed.view
    width, (stride_rows, stride_columns) = view.in_size[1], layer.pool_stride
    row_extent, column_extent, padded = _extents(placed)
    steps = width // column_extent
    if steps * stride_columns + layer.pool[1] > width:
        steps -= 1
    adjust = 0 if column_extent == 1 else width - steps * column_extent
    rows = view.pad[1] if view.pad[1] else stride_rows
    start = rows * padded + (row_extent * padded + view.pad[1] + 2 * column_extent) * layer.operands
    start += stride_columns if placed.readahead else 0
    start += adjust * stride_columns if ends_stream(placed, network) else 0
    delta1 = stride_columns * layer.operands
    delta2 = delta1 + adjust if stride_rows == 1 else (stride_rows - 1) * width + adjust
    return Stream(start, start, delta1, delta2)


def ends_stream(placed: PlacedLayer, network: PlacedNetwork) -> bool:
    """Return whether `placed`, a streaming layer, is the last one that streams."""
    return placed.next is None or not network[placed.next].streaming


def rollover(placed: PlacedLayer, network: PlacedNetwork) -> int:
    """Return the length in words of a streaming layer's rolling buffer."""
    layer, view = placed.layer, placed.view
    passes = view.input_passes
    stream, width = stream_values(placed, network), view.in_size[1]
    if network.device.stream_by_window:
        step = max(layer.stride[1], layer.pool_stride[1], layer.pool[1])
        length = _CHW_BUFFER if placed.chw else stream.start + (layer.pool[0] - 1) * width + step
        return ceil_div(length, passes) * passes
    row_extent, column_extent, padded = _extents(placed)
    if placed.layer is network.start.layer:
        length = stream.base + column_extent + (layer.pool_stride[1] - 1) * padded
        return length * layer.pool_stride[1] * 4 if placed.chw else length
    length = stream.start + (passes - 1) * (row_extent * width + view.pad[1] + column_extent) + column_extent
    return ceil_div(length, passes) * passes
