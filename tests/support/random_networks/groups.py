"""Several layers whose outputs are read together: element-wise operands, concatenation, rolling buffer."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.network.sizes import passes, processor_map_for, processors_per_pass
from tests.support.random_networks.draft import BUFFER, Draft, Place, Tensor, contiguous
from tests.support.random_networks.operators import (
    ACTIVATIONS,
    CHANNELS,
    activation,
    aligned_copies,
    convolution,
    convolution_1d,
    depthwise,
    finish,
    linear,
    passthrough,
    pooling,
)


def part(d: Draft, tensor: Tensor, shape, place: Place):
    """Write an output of `shape` to `place`, by convolution or by copying; None if kernel memory is full."""
    same = contiguous(tensor.processors) and tensor.processors == place.processors and aligned_copies(place.processors)
    rows = tensor.rows - shape[1] + 1
    pool = {"max_pool": [rows, 1], "pool_stride": 1} if rows > 1 else {}
    if same and tensor.channels == shape[0] and tensor.size == shape[1:] and d.flag():
        return d.add(d.reading(tensor) | {"op": "none"}, shape, place, hidden=True)
    kernel = 1 if d.last >= 0 and d.layers[-1].get("streaming") else d.pick((3, 1))
    keys = {"op": "Conv2d", "kernel_size": f"{kernel}x{kernel}", "pad": kernel // 2, "activate": d.pick(ACTIVATIONS)}
    if tensor.columns == 1 and d.flag():
        kernel = kernel if not (d.new and tensor.passes > 1) else 1
        keys |= {"op": "Conv1d", "kernel_size": kernel, "pad": kernel // 2}
    taps = (kernel, 1 if keys["op"] == "Conv1d" else kernel)
    drawn = d.kernels((shape[0], tensor.channels, *taps), tensor, place.processors, area=9)
    if drawn is None:
        return None
    return d.add(d.reading(tensor) | keys | pool | drawn[0], shape, place, drawn[1], hidden=True)


def parts(d: Draft, tensor: Tensor, shapes, places, *, residual=False):
    """Write all parts; return their numbers, None if one of them did not fit."""
    numbers, reads = [], tensor
    d.held += [(tensor.start, tensor.end), (places[0].start, places[0].end)]
    for shape, place in zip(shapes, places, strict=True):
        output = part(d, reads, shape, place)
        if output is None:
            break
        numbers.append(d.last)
        readable = d.new and output.passes == 1 and output.size == shapes[-1][1:] and residual
        reads = output if readable and d.flag() else tensor
    del d.held[-2:]
    return numbers if len(numbers) == len(shapes) else None


def interleaved(d: Draft, tensor: Tensor, count, channels):
    """Write `count` outputs word by word; return (numbers, place of the first)."""
    shape = channels, *tensor.size
    if d.room < count + 2 or d.output_increment(channels, count - 1) > (255 if d.new else 15):
        return None
    processors = tensor.processors
    if channels != tensor.channels or not contiguous(processors) or d.rarely():
        processors = d.processor_map(channels)
    size = 4 * tensor.pixels * passes(channels) * count
    start = d.reserve(size, [tensor])
    if start is None:
        return None
    places = [Place(processors, start + 4 * k, start, start + size, count - 1) for k in range(count)]
    numbers = parts(d, tensor, [shape] * count, places, residual=True)
    return None if numbers is None else (numbers, places[0])


def elementwise(d: Draft, tensor: Tensor):
    """Two or more operands, then add, sub, or, xor, alone or in front of a convolution."""
    channels = d.pick((tensor.channels, *CHANNELS[:13]))
    count = d.pick((2, 2, 2, 3, 4, 5, 8))
    group = interleaved(d, tensor, count, channels)
    if group is None:
        return None
    numbers, place = group
    joined = Tensor(tuple(numbers), channels, *tensor.size, place.processors, place.offset, place.start, place.end)
    return combine(d, joined, count)


def combine(d: Draft, tensor: Tensor, count):
    """An element-wise layer of `count` operands."""
    function = d.pick(("add", "sub", "or", "xor"))
    reading = d.reading(tensor, whole=True)
    rounds = tensor.passes
    emulated = not d.new and rounds > 1 and count * rounds != count + rounds
    if emulated and tensor.rows * rounds > d.device.dimension:
        return None
    keys = {"operands": count} if count != 2 or d.flag() else {}
    size = tensor.size if emulated else pooling(d, keys, tensor.size)
    pooled = "max_pool" in keys or "avg_pool" in keys
    if pooled and count == 2 and d.pick((True, True, False)):
        keys["pool_first"] = False
    if not emulated and d.flag():
        return _fused(d, tensor, keys | {"eltwise": function}, size)
    keys["op"] = {"or": d.pick(("or", "bitwise_or")), "xor": d.pick(("xor", "BitwiseXor"))}.get(function, function)
    if not d.new and rounds > 1 and not emulated and pooled and size != (1, 1):
        return None  # pooling without convolution takes one pass
    if not aligned_copies(tensor.processors):
        return None
    shape = (tensor.channels, *size)
    place = d.place(shape, [tensor], tensor.processors)
    return None if place is None else d.add(reading | keys, shape, place)


def _fused(d, tensor, keys, size):
    channels = d.pick(CHANNELS[:13])
    activation(d, keys)
    if d.pick((True, True, False)) or max(size) > 12 or keys.get("pool_stride", 1) != 1 or "pool_dilation" in keys:
        kernel = 3 if min(size) > 2 else 1
        keys |= {"op": "Conv2d", "kernel_size": f"{kernel}x{kernel}", "pad": kernel // 2}
        return finish(d, keys, tensor, (channels, *size), (channels, tensor.channels, kernel, kernel), area=9)
    keys |= {"op": "ConvTranspose2d", "pad": 1}
    shape = channels, 2 * size[0], 2 * size[1]
    return finish(d, keys, tensor, shape, (channels, tensor.channels, 3, 3), area=9)


def concatenation(d: Draft, tensor: Tensor):
    """Several outputs side by side on neighboring processors."""
    channels, count = d.pick(((4, 2), (8, 2), (12, 3), (16, 4), (32, 2), (20, 3)))
    size = 4 * tensor.pixels
    start = d.reserve(size, [tensor])
    if start is None or d.room < count + 1:
        return None
    first = 4 * d.number(0, (64 - count * channels) // 4)
    maps = [processor_map_for(channels) << first + k * channels for k in range(count)]
    places = [Place(processors, start, start, start + size) for processors in maps]
    numbers = parts(d, tensor, [(channels, *tensor.size)] * count, places)
    if numbers is None:
        return None
    total = count * channels
    return _joined(d, Tensor(tuple(numbers), total, *tensor.size, sum(maps), start, start, start + size))


def interleaving(d: Draft, tensor: Tensor):
    """More than 64 channels from several outputs, one for each pass."""
    channels, count = d.pick(((64, 2), (40, 2), (36, 2), (64, 3), (48, 3)))
    group = interleaved(d, tensor, count, channels)
    if group is None:
        return None
    numbers, place = group
    total = count * channels
    assert (passes(total), processors_per_pass(total)) == (count, channels)
    return _joined(
        d, Tensor(tuple(numbers), total, *tensor.size, place.processors, place.offset, place.start, place.end)
    )


def stacking(d: Draft, tensor: Tensor):
    """Outputs of different heights one below the other."""
    channels = d.pick(CHANNELS[:11])
    if tensor.rows < 2 or d.room < 4:
        return None
    cut = d.number(1, min(3, tensor.rows - 1))
    if 2 * tensor.rows - cut > 1000:
        return None
    shapes = [(channels, *tensor.size), (channels, tensor.rows - cut, tensor.columns)]
    if d.flag():
        shapes.reverse()
    words = [rows * columns * passes(channels) for _, rows, columns in shapes]
    size = 4 * sum(words)
    start = d.reserve(size, [tensor])
    if start is None:
        return None
    processors = d.processor_map(channels)
    places = [Place(processors, start + offset, start, start + size) for offset in (0, 4 * words[0])]
    numbers = parts(d, tensor, shapes, places)
    if numbers is None:
        return None
    rows = sum(rows for _, rows, _ in shapes)
    joined = Tensor(tuple(numbers), channels, rows, tensor.columns, processors, start, start, start + size)
    return _joined(d, replace(joined, reshaped=True))


def _joined(d, tensor):
    """Add a layer that reads what several have written."""
    for reader in (d.pick((convolution, convolution_1d, linear, depthwise)), convolution, passthrough):
        output = reader(d, tensor)
        if output is not None:
            return output
    return None


def rolling_buffer(d: Draft, tensor: Tensor):
    """Shift the buffer, append one position, and read all of it with a Conv1d."""
    inputs = tensor.channels * tensor.pixels
    whole = tensor.channels == tensor.passes * processors_per_pass(tensor.channels)
    if "data_buffer" in d.top or not whole or tensor.pixels > 64 or inputs > 2000 or d.room < 5 or tensor.gap:
        return None
    if tensor.passes > 1 and tensor.pixels > 1:
        return None
    channels, length = d.pick((4, 8, 32, 64)), d.number(2, 12)
    start = d.reserve(4 * length, [tensor])
    if start is None or any(t.start == 0 and t.end > start for t in d.tensors):
        return None
    if any(a < start + 4 * length and start < b for a, b in d.used):
        return None
    processors = d.processor_map(channels)
    shape = channels, 1, 1
    drawn = d.kernels((channels, inputs, 1, 1), tensor, processors, area=1, pixels=tensor.pixels)
    if drawn is None:
        return None
    buffer = {"name": "Ring", "processors": processors, "channels": channels, "dim": length, "offset": start}
    d.top["data_buffer"] = [buffer]
    d.held += [(start, start + 4 * length), (tensor.start, tensor.end)]
    end = start + 4 * length
    shift = {"op": "none", "in_sequences": [BUFFER], "processors": processors, "in_offset": start + 4}
    shift |= {"in_dim": length - 1, "in_channels": channels, "buffer_shift": 1}
    d.add(shift, (channels, length - 1, 1), Place(processors, start, start, end), hidden=True)
    insert = {"op": "Linear", "activate": d.pick(ACTIVATIONS), "buffer_insert": 1}
    insert |= {"flatten": True} if tensor.pixels > 1 else {}
    place = Place(processors, end - 4, start, end)
    d.add(d.reading(tensor) | insert | drawn[0], shape, place, drawn[1], hidden=True)
    d.held.pop()
    ring = Tensor((BUFFER,), channels, length, 1, processors, start, start, end)
    keys = {"op": "Conv1d", "kernel_size": d.number(1, min(9, length)), "pad": 0, "activate": d.pick(ACTIVATIONS)}
    out = length - keys["kernel_size"] + 1
    shape = d.pick(CHANNELS[:9]), out, 1
    return finish(d, keys, ring, shape, (shape[0], channels, keys["kernel_size"], 1), area=keys["kernel_size"])
