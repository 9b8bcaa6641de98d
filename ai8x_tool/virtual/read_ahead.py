"""Check of layers that read ahead: a block of data memory must not be read and written at the same time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import Device
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.read_side import Reading
from ai8x_tool.virtual.scan_order import write_times
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]


def check_read_ahead(reading: Reading, written: Written, device: Device, diagnostics: Diagnostics) -> None:
    """Report output to a block of an instance from which the next window is read at the same time."""
    layer = reading.layer
    if not layer.read_ahead or not written.values.size:
        return
    size = device.sub_instance_size // 4
    following = write_times(layer) + 1
    read = _window_blocks(reading, size)
    word = written.word // size
    last = len(read) - 1
    same = (word[..., None] == read[np.minimum(following, last)]).any(axis=-1) & (following <= last)
    hit = np.argwhere(same & np.isin(written.instance, distinct(reading.instance)))
    if len(hit):
        shape = np.broadcast_shapes(written.instance.shape, written.word.shape)
        at = tuple(hit[0].tolist())
        instance, block = (int(np.broadcast_to(x, shape)[at]) for x in (written.instance, word))
        text = f"block {block} of instance {instance} is written while the layer reads ahead in it"
        diagnostics.report("error", text, layer=layer.index, register="LCTL")


def _window_blocks(reading: Reading, size: int) -> Array:
    """Return the blocks of `size` words in which the rows of each window begin and end, (windows, 2 × rows)."""
    geometry = reading.layer.geometry
    (rows, columns), stride = geometry.pooled, geometry.stride
    last = (geometry.window[1] - 1) * geometry.dilation[1]
    y = np.arange(rows)[:, None, None] * stride + np.arange(geometry.window[0]) * geometry.dilation[0]
    pixel = y * geometry.columns + np.arange(columns)[:, None] * stride
    words = reading.layer.passes * reading.layer.operation.operands - 1
    begin = pixel * geometry.pitch + reading.layer.read_pointer
    end = (pixel + last) * geometry.pitch + words + reading.layer.read_pointer
    if reading.layer.chw:
        begin, end = reading.layer.read_pointer + pixel // 4, reading.layer.read_pointer + (pixel + last) // 4
    return np.concatenate([begin, end], axis=-1).reshape(rows * columns, -1) // size
