"""Places and order of the accelerator's reads and writes of data memory.

The formulas are those of the address counters. Places are positions in an array of bytes that contains `size` words of
each of the 16 instances; the byte inside a word is the processor's lane. Time is counted in pooling windows, each of
which a layer reads once, row by row, with all passes and operands; −1 is the time before the first window.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.mapping.mapping import LayerMapping

Array = npt.NDArray[np.int64]
LANES = 4
INSTANCES = 16
NEVER = -1


class ReadPlaces(NamedTuple):
    """The reads of a layer: `places` (operands, channels, pixels), and the last window that contains each pixel.

    `windows` broadcasts to (channels, pixels). `top` is the highest word of an instance.
    """

    places: Array
    windows: Array
    top: int


class Writing(NamedTuple):
    """The writes of a layer: the `places` (channels, pixels) of its values, and all `words`.

    Channels that are not marked in `written` are not computed. `windows`, which broadcasts to `words`, is the last
    window read when a word is written. The first `skipped` pixels, and those after the output, are scratch. Values of
    several bytes occupy all bytes of the word that begins at their place. `top` is the highest word of an instance.
    """

    places: Array
    words: Array
    windows: Array
    written: npt.NDArray[np.bool_]
    skipped: int
    top: int


class Form(NamedTuple):
    """Layout of data in memory: first word, words left free after each word, and bits of a value."""

    first: int
    gap: int = 0
    width: int = 8


@lru_cache(maxsize=1024)
def members(processors: int) -> Array:
    """Return the numbers of the processors in a map."""
    found = np.flatnonzero([processors >> p & 1 for p in range(64)])
    found.setflags(write=False)
    return found


def byte_places(processors: int, channels: int, pixels: int, first: int, size: int) -> Array:
    """Return the places (channels, pixels) of channels stored separately, four pixels per word."""
    at = members(processors)[:channels]
    return LANES * (at // LANES * size + first)[:, None] + np.arange(pixels)


def region_places(processors: int, channels: int, per_pass: int, pixels: int, form: Form, size: int) -> Array:
    """Return the places (channels, pixels) of data whose passes are adjacent for each pixel."""
    unit, passes = form.width // 8, -(-channels // per_pass)
    number, rank = np.divmod(np.arange(channels), per_pass)
    processor = members(processors)[rank]
    lane = processor % LANES
    step = unit * (form.gap + 1)
    word = processor // LANES * size + form.first + number * step
    base = LANES * word + (lane if unit == 1 else LANES * lane)
    return base[:, None] + LANES * step * passes * np.arange(pixels)


def value_places(at: LayerMapping, size: int) -> Array:
    """Return the places (channels, pixels) at which the host and other layers read a layer's values."""
    layer = at.layer
    form = Form(at.out_offset // 4, at.write_gap, layer.output_width)
    pixels = layer.out_size[0] * layer.out_size[1]
    return region_places(at.output_map, layer.channels_out, at.view.outputs_per_pass, pixels, form, size)


# -- Reading -----------------------------------------------------------------------------------------------------------


def reading(at: LayerMapping, size: int, first: int) -> ReadPlaces:
    """Return the reads of a layer whose read pointer is word `first`."""
    layer, view = at.layer, at.view
    passes, operands = view.input_passes, layer.operands
    rows, columns = layer.in_size
    pixels = rows * columns
    if at.chw:
        places = byte_places(at.own_processors, layer.channels_in, pixels, first, size)
        return ReadPlaces(places[None], _last_windows(at), first + (pixels - 1) // LANES)
    number, rank = np.divmod(np.arange(layer.channels_in), view.inputs_per_pass)
    processor = members(at.own_processors)[rank]
    # A flattening layer reads one pixel of many passes: its words are adjacent.
    pitch = operands * passes * (1 if layer.flatten else at.read_gap + 1)
    word = number * operands + np.arange(operands)[:, None]
    base = LANES * (processor // LANES * size + first + word) + processor % LANES
    places = base[..., None] + LANES * pitch * np.arange(pixels)
    if at.processors != at.own_processors:  # each quadrant reads the same
        places = np.concatenate([places + 4 * quadrant * size * LANES for quadrant in range(4)])
    top = first + operands * passes - 1 + pitch * (pixels - 1)
    if layer.flatten:
        return ReadPlaces(places, np.zeros(1, np.int64), top)
    if view.emulated:  # passes are executed as further rows
        return ReadPlaces(places, np.arange(pixels) * passes + number[:, None], top)
    return ReadPlaces(places, _last_windows(at), top)


def _last_windows(at: LayerMapping) -> Array:
    """Return for each input pixel the last window that contains it, NEVER if none does."""
    rows, columns = (_last_holder(at, axis) for axis in (0, 1))
    number = rows[:, None] * at.layer.pooled_size[1] + columns
    return np.where((rows[:, None] < 0) | (columns < 0), NEVER, number).reshape(-1)


def _last_holder(at: LayerMapping, axis: int) -> Array:
    layer = at.layer
    size, stride = layer.in_size[axis], layer.pool_stride[axis]
    window, dilation = (layer.pool[axis], layer.pool_dilation[axis]) if layer.has_pool else (1, 1)
    holder = np.full(size, NEVER, np.int64)
    number = np.arange(layer.pooled_size[axis])
    for tap in range(window):
        place = number * stride + tap * dilation
        inside = place < size
        holder[place[inside]] = np.maximum(holder[place[inside]], number[inside])
    return holder


def last_reads(read: ReadPlaces, words: int, *, shared: bool) -> npt.NDArray[np.int32]:
    """Return the last window that reads each of all `words` of data memory.

    `shared`: a word may contain several pixels.
    """
    last = np.full(words, NEVER, np.int32)
    windows = np.broadcast_to(read.windows, read.places.shape[1:]).astype(np.int32)
    for operand in read.places // LANES:
        if shared:
            np.maximum.at(last, operand, windows)
        else:
            last[operand] = windows
    return last


def window_blocks(at: LayerMapping, first: int, block: int) -> Array:
    """Return the blocks of `block` words in which the rows of each window begin and end: (windows, 2 · rows)."""
    layer, columns = at.layer, at.layer.in_size[1]
    passes, operands = at.view.input_passes, layer.operands
    size = (1, 1) if layer.flatten else layer.pooled_size
    pool, dilation = (layer.pool, layer.pool_dilation) if layer.has_pool else ((1, 1), (1, 1))
    row = np.arange(size[0])[:, None, None] * layer.pool_stride[0] + np.arange(pool[0]) * dilation[0]
    pixel = row * columns + np.arange(size[1])[:, None] * layer.pool_stride[1]
    last = pixel + (pool[1] - 1) * dilation[1]
    if at.chw:
        ends = pixel // LANES, last // LANES
    else:
        pitch = operands * passes * (at.read_gap + 1)
        words = operands * passes * layer.flat_pixels - 1
        ends = pixel * pitch, last * pitch + words
    return (first + np.concatenate(ends, axis=-1).reshape(size[0] * size[1], -1)) // block


# -- Writing -----------------------------------------------------------------------------------------------------------


def writing(at: LayerMapping, size: int) -> Writing:
    """Return the writes of a layer."""
    if at.view.operator == "none":
        return _copying(at, size)
    return _depthwise(at, size) if at.layer.depthwise else _summing(at, size)


def output_times(at: LayerMapping) -> Array:
    """Return for each output pixel the last window read when it is written."""
    view = at.view
    if at.layer.flatten:
        return np.zeros(1, np.int64)
    if view.operator == "none":
        return np.arange(view.pooled_size[0] * view.pooled_size[1])
    rows, columns = (_last_needed(at, axis) for axis in (0, 1))
    number = np.where((rows[:, None] < 0) | (columns < 0), NEVER, rows[:, None] * view.pooled_size[1] + columns)
    return np.maximum.accumulate(number.reshape(-1))


def _last_needed(at: LayerMapping, axis: int) -> Array:
    """Return for each output row (`axis` 0) or column the last row or column of windows that its kernel covers."""
    view = at.view
    size, kernel, pad = view.pooled_size[axis], view.kernel[axis], view.pad[axis]
    # In a transposed convolution, only every second position is a window; the others are zeros.
    step = 2 if view.operator == "convtranspose2d" else 1
    low = np.arange(step * size + 2 * pad - kernel + 1) - pad
    first = np.maximum(-(-low // step), 0)
    last = np.minimum((low + kernel - 1) // step, size - 1)
    return np.where(last < first, NEVER, last)


def computed_outputs(at: LayerMapping) -> int:
    """Return the number of outputs that a convolution computes, including those of unused lanes."""
    layer = at.layer
    if layer.bypass:
        return layer.channels_out
    kernels = at.kernels.count
    if at.processors != at.own_processors:  # each of four quadrants computes every fourth output
        kernels *= 4
    elif at.calcx4:
        kernels = -(-kernels // 4) * 4
    return kernels // (at.view.input_passes * layer.flat_pixels)


def counters(at: LayerMapping) -> tuple[Array, int]:
    """Return the counter value of each output channel of a convolution, and the lanes of a pass.

    The counter begins at the first lane of the first output's instance and includes unused processors.
    """
    outputs = members(at.output_map)
    first = outputs[0] // LANES * LANES
    lanes = int(outputs[-1] - first) + 1
    number, rank = np.divmod(np.arange(at.layer.channels_out), at.view.outputs_per_pass)
    return number * lanes + outputs[rank] - first, lanes


def first_word(at: LayerMapping) -> int:
    """Return the word of an instance at which a layer begins to write, including scratch."""
    return (at.out_offset - at.view.skipped_bytes) // 4


def _summing(at: LayerMapping, size: int) -> Writing:
    passes, unit = at.view.output_passes, at.layer.output_width // 8
    counter, lanes = counters(at)
    computed = computed_outputs(at)
    times = output_times(at)
    step = unit * (at.write_gap + 1)
    pixel = np.arange(len(times)) * step * passes
    instance, first = int(members(at.output_map)[0]) // LANES, first_word(at)

    def word(number: Array) -> Array:
        """Return the word of an output's first pixel."""
        turn, lane = np.divmod(number, lanes)
        return (instance + lane // LANES) * size + first + turn * step + (lane % LANES if unit > 1 else 0)

    lane = counter % lanes % LANES if unit == 1 else np.zeros_like(counter)
    places = (LANES * word(counter) + lane)[:, None] + LANES * pixel
    words = distinct(word(np.arange(computed)))[:, None] + pixel
    top = first + -(-computed // lanes) * step - step + unit - 1 + int(pixel[-1])
    return Writing(places, words, times, counter < computed, at.view.skipped_bytes // (4 * passes), top)


def _ranked(at: LayerMapping, first: list[int]) -> tuple[Array, Array]:
    """Return (instance, lane) of each processor: by rank in its quadrant, from the quadrant's `first` instance on."""
    quadrant = members(at.processors) // 16
    rank = np.arange(len(quadrant)) - np.searchsorted(quadrant, quadrant)
    return np.array(first)[quadrant] + rank // LANES, rank % LANES


def _copying(at: LayerMapping, size: int) -> Writing:
    """Return the writes of a layer that does not sum: it copies the data of each processor, quadrant by quadrant."""
    passes, step = at.view.input_passes, at.write_gap + 1
    instance, lane = _ranked(at, [copy_instance(at, quadrant) for quadrant in range(4)])
    number, rank = np.divmod(np.arange(at.layer.channels_in), at.view.inputs_per_pass)
    pixels = np.arange(at.view.pooled_size[0] * at.view.pooled_size[1])
    word = first_word(at) + pixels * passes * step
    base = LANES * (instance[rank] * size + number * step) + lane[rank]
    turns = np.arange(passes)[:, None, None]
    words = distinct(instance)[:, None] * size + turns * step + word
    times = pixels * passes + turns if at.view.emulated else pixels
    top = int(word[-1]) + (passes - 1) * step
    return Writing(base[:, None] + LANES * word, words, times, np.ones(len(base), bool), 0, top)


def copy_instance(at: LayerMapping, quadrant: int) -> int:
    """Return the first instance of a quadrant to which a layer that does not sum writes."""
    inside = members(at.output_map & 0xFFFF << 16 * quadrant)
    return int(inside[0]) // LANES if len(inside) else 0


def _depthwise(at: LayerMapping, size: int) -> Writing:
    passes, unit = at.view.output_passes, at.layer.output_width // 8
    processors = members(at.processors)
    if at.broadcast:
        instance, lane = processors // LANES, processors % LANES
    else:
        instance, lane = _ranked(at, [depthwise_instance(at, quadrant) for quadrant in range(4)])
    number, rank = np.divmod(np.arange(at.layer.channels_out), at.view.outputs_per_pass)
    times, step = output_times(at), unit * (at.write_gap + 1)
    pixel = np.arange(len(times)) * step * passes
    start = instance * size + first_word(at) + (lane if unit > 1 else 0)
    base = LANES * (start[rank] + number * step) + (0 if unit > 1 else lane[rank])
    words = (distinct(start) + np.arange(passes)[:, None] * step)[..., None] + pixel
    top = first_word(at) + (passes - 1) * step + unit - 1 + int(pixel[-1])
    return Writing(base[:, None] + LANES * pixel, words, times, np.ones(len(base), bool), 0, top)


def depthwise_instance(at: LayerMapping, quadrant: int) -> int:
    """Return the first instance to which a depthwise layer that moves its channels writes those of a quadrant."""
    source, target = int(members(at.processors)[0]), int(members(at.output_map)[0])
    first = source // 16
    if quadrant < first:
        return 0
    return (16 * (quadrant - first) + target - (source % 16 if quadrant != first else 0)) // LANES


def clearing_word(at: LayerMapping, size: int) -> int:
    """Return the word written by the hidden layer that clears the pooling accumulator before `at` starts.

    It runs in quadrant 0, with the write pointer of `at` there.
    """
    if at.layer.depthwise and not at.broadcast:
        elsewhere = bool(members(at.processors)[0] >= 16)
        return 0 if elsewhere else depthwise_instance(at, 0) * size + first_word(at)
    if at.view.operator == "none":
        return copy_instance(at, 0) * size + first_word(at)
    return int(members(at.output_map)[0]) // LANES * size + first_word(at)
