"""RCNT, CCNT, PRCNT, PCCNT, STRIDE: rows, columns, pooling windows, strides."""

from __future__ import annotations

from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.mapping import LayerMapping


def _effective_size(mapped: LayerMapping) -> tuple[int, int]:
    """Return the rows and columns over which the hardware iterates."""
    layer, view = mapped.layer, mapped.view
    rows, columns = view.in_size
    if layer.flatten:
        return layer.pool
    if view.operator == "convtranspose2d":
        return layer.stride[0] * rows, layer.stride[1] * columns
    if view.emulated:
        return rows * view.input_passes, columns
    return rows, columns


def _words_per_pixel(mapped: LayerMapping) -> int:
    return mapped.layer.operands * mapped.view.input_passes * (mapped.read_gap + 1)


def _last_window(mapped: LayerMapping, axis: int) -> int:
    """Return the position at which the last pooling window starts, rounded down to a multiple of the stride."""
    layer, size = mapped.layer, _effective_size(mapped)[axis]
    stride = layer.pool_stride[axis]
    return (size - layer.pool[axis] - layer.pool_dilation[axis] + 1) // stride * stride


def _padding(pad: int) -> Fields:
    return {"pad_enable": 1, "pad_minus_1": pad - 1} if pad else {}


def row_count(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of RCNT."""
    rows, columns = _effective_size(mapped)
    pad = mapped.view.pad[0]
    if not context.device.last_window_counters:
        return {"count": rows - 1 + 2 * pad, "pad": pad}
    left = 1 if mapped.view.operator == "conv1d" else columns - _last_window(mapped, 1)
    following = (left + (mapped.layer.pool_stride[0] - 1) * columns) * _words_per_pixel(mapped)
    return {"stop": _last_window(mapped, 0), "next": following, **_padding(pad)}


def column_count(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of CCNT."""
    columns, pad = _effective_size(mapped)[1], mapped.view.pad[1]
    if not context.device.last_window_counters:
        return {"count": columns - 1 + 2 * pad, "pad": pad}
    last = _last_window(mapped, 1)
    return {"stop": last, "next": columns - last, **_padding(pad)}


def _window(mapped: LayerMapping, context: Context, axis: int) -> Fields:
    dilation = mapped.layer.pool_dilation[axis]
    fields = {"window": (mapped.layer.pool[axis] - 1) * dilation}
    return fields if context.device.pool_dilation == 1 else fields | {"dilation": dilation - 1}


def pool_rows(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of PRCNT."""
    return _window(mapped, context, 0)


def pool_columns(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of PCCNT."""
    return _window(mapped, context, 1)


def stride(mapped: LayerMapping, context: Context, quadrant: int) -> Fields:
    """Return the fields of STRIDE."""
    layer = mapped.layer
    pooling = layer.pool_stride[0]
    step = pooling - 1 if pooling > 1 else layer.stride[0] - 1
    if mapped.view.operator == "convtranspose2d":
        step = 0
    fields = {"stride": step}
    return fields | ({"row_words": pooling * _words_per_pixel(mapped)} if context.device.last_window_counters else {})
