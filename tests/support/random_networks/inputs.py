"""How a network begins: its input, layers that stream, and kernels that are read four-fold."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.network.sizes import passes, processor_map_for, processors_per_pass
from tests.support.random_networks.draft import INPUT, Draft, Place, Tensor, lowest
from tests.support.random_networks.operators import ACTIVATIONS, CHANNELS, finish, pooling, same_quadrants

_ALL_CHANNELS = (64, 128, 64, 192)
_MOST_PASSES = 15


def rolling_words(tensor: Tensor, *, chw=False):
    """Return an upper bound of the words in a streaming layer's rolling buffer."""
    return (8 * (tensor.columns + 4) + 60) * tensor.passes * (12 if chw else 1)


def input_size(d: Draft):
    """Draw (rows, columns)."""
    if d.rarely():
        return d.number(1, 1000 if d.rarely() else 60), 1
    largest = 40 if d.rarely() else 14
    return d.number(2, largest), d.number(2, largest)


def memory_input(d: Draft):
    """The input lies in data memory: HWC, CHW, or operands of an element-wise layer. Return (tensor, operands)."""
    rows, columns = input_size(d)
    kind = d.pick(("HWC", "HWC", "CHW", "operands"))
    operands = d.pick((2, 2, 3, 4, 5, 8, 12, 16)) if kind == "operands" else 1
    channels = d.number(1, 16) if kind == "CHW" else d.pick((3, 1, 2, *CHANNELS)) if operands == 1 else d.number(1, 9)
    if kind == "operands":
        rows = min(rows, 200)
    if kind == "operands" and operands <= 3:
        channels = d.pick((1, 4, 16, 64, 100, 130))
    if kind == "CHW":
        processors, words = sum(1 << 4 * i for i in range(channels)), -(-rows * columns // 4)
        d.chw = True
    else:
        processors = d.processor_map(channels)
        processors >>= lowest(processors) // 16 * 16  # quadrant 0 must take part
        words = rows * columns * passes(channels) * operands
    if 4 * words > d.device.instance_size // 2:
        rows, columns, words = 3, 3, 9 * passes(channels) * operands
    start = d.reserve(4 * words, [])
    return Tensor((INPUT,), channels, rows, columns, processors, start, start, start + 4 * words), operands


def fifo_input(d: Draft):
    """The input comes through FIFOs. Return the tensor; options say which FIFO."""
    rows, columns = (max(size, 3) for size in input_size(d))
    rows = min(rows, 60)
    kind = d.pick(("fifo", "fast_fifo", "fast_fifo_quad") if d.new else ("fifo", "fast_fifo"))
    d.options[kind] = True
    if kind != "fifo":
        d.options["riscv"] = True
    d.chw = d.rarely() and kind != "fast_fifo_quad"
    channels = d.number(1, (4 if d.chw else 16) if kind == "fifo" else 1 if d.chw else 4)
    if d.chw:
        processors = sum(1 << 16 * i for i in range(channels))
    else:
        processors = sum(processor_map_for(min(4, channels - 4 * q)) << 16 * q for q in range(-(-channels // 4)))
    if rows < 3 or columns < 3:
        rows, columns = 3, 3
    tensor = Tensor((INPUT,), channels, rows, columns, processors, 0, 0, 0)
    return replace(tensor, end=4 * max(rolling_words(tensor, chw=d.chw), tensor.pixels) + 8)


def quad_layer(d: Draft, tensor: Tensor, *, streaming=False):
    """The first layer of a network that is fed through the fast FIFO in quad mode."""
    keys = {"op": "Conv2d", "kernel_size": "3x3", "pad": d.number(1, 2), "activate": d.pick(ACTIVATIONS)}
    channels = d.pick((64, 32))
    grown = 2 * keys["pad"] - 2
    shape = channels, tensor.rows + grown, tensor.columns + grown
    if streaming:
        keys["streaming"] = True
        return _stored(d, keys, tensor, shape, (channels, tensor.channels, 3, 3))
    kernels = (channels, tensor.channels, 3, 3)
    return finish(d, keys, tensor, shape, kernels, area=9, processors=d.processor_map(channels))


def streams(d: Draft, tensor: Tensor):
    """Streaming layers at the network's beginning; return the output of the last, None if there is none."""
    saved = d.saved()
    result, blocks, rounds = None, [tensor.offset // 0x4000], tensor.passes
    d.held.append((tensor.start, tensor.end))
    for number in range(8 if d.rarely() else d.number(1, 4)):
        quad = number == 0 and "fast_fifo_quad" in d.options
        following = quad_layer(d, tensor, streaming=True) if quad else _stream(d, tensor, first=number == 0)
        if following is None:
            break
        _read_ahead(d, tensor, following, blocks)
        tensor = following
        d.held.append((tensor.start, tensor.end))
        blocks.append(tensor.offset // 0x4000)
        rounds += -(-tensor.passes // 4) * 4
        if d.new or (d.layers[-1]["op"] != "none" and _pads(d.layers[-1])):
            saved, result = d.saved(), tensor
        if rounds + 4 > _MOST_PASSES:
            break
    d.restore(saved)
    d.held.clear()
    if result is not None:
        d.tensors = [result]
    return result


def _pads(layer):
    return layer["pad"] > 0 or layer["kernel_size"] == "1x1"


def _stream(d, tensor, *, first):
    kinds = ["conv", "conv"] + ([] if d.new else ["none"]) * (not (first and "riscv" in d.options))
    kind = d.pick(kinds + (["depthwise"] if d.new and tensor.channels > 1 and not (first and d.chw) else []))
    keys = {"streaming": True}
    rows, columns = _small_pooling(d, keys, tensor)
    if min(rows, columns) < 3:
        keys, rows, columns = {"streaming": True}, *tensor.size
    if kind == "none" and tensor.passes > 1:
        keys, rows, columns = {"streaming": True}, *tensor.size
    if kind == "none":
        if first and _starts_late(d, keys, tensor):
            return None
        shape = tensor.channels, rows, columns
        return _stored(d, keys | {"op": "none"}, tensor, shape, None, same_quadrants(d, tensor))
    kernel = d.pick((3, 3, 1))
    pad = d.number(0, 2) if kernel == 3 else 0
    keys |= {"op": "Conv2d", "kernel_size": f"{kernel}x{kernel}", "pad": pad, "activate": d.pick(ACTIVATIONS)}
    channels = d.pick((4, 8, 16, 1, 20, 64, 100, 128))
    groups, processors = 1, None
    mine = tensor.processors
    if kind == "depthwise" and mine & 15 and mine == (1 << mine.bit_length()) - 1:
        groups = channels = tensor.channels
        keys["groups"], processors = channels, mine
    shape = channels, rows + 2 * pad - kernel + 1, columns + 2 * pad - kernel + 1
    if min(shape[1:]) < 3 or (first and _starts_late(d, keys, tensor)):
        return None
    return _stored(d, keys, tensor, shape, (channels, tensor.channels // groups, kernel, kernel), processors, groups)


def _starts_late(d, keys, tensor):
    """Whether the first streaming layer may wait for more words than a frame has."""
    window = next((keys[key] for key in ("max_pool", "avg_pool") if key in keys), [1, 1])
    rows, columns = (max(size, keys.get("pool_stride", 1)) for size in window)
    pad = keys.get("pad", 0)
    by_position = rows * (tensor.columns + 2 * pad) + pad + 2 * columns
    by_window = window[0] * ((window[0] - 1) * tensor.columns + window[1])
    return max(by_position, by_window) > tensor.pixels // (4 if d.chw else 1)


def _small_pooling(d, keys, tensor):
    if d.flag():
        return tensor.size
    window, stride = [d.number(1, 3), d.number(1, 3)], d.number(1, 3)
    if window == [1, 1]:
        return tensor.size
    keys |= {d.pick(("max_pool", "avg_pool")): window, "pool_stride": stride}
    return tuple((n - p) // stride + 1 for n, p in zip(tensor.size, window, strict=True))


def _stored(d, keys, tensor, shape, kernels, processors=None, groups=1):
    """Append a streaming layer; its output has room for the rolling buffers on both sides of it, and for all of it."""
    processors = processors or d.processor_map(shape[0])
    out = Tensor((), *shape, processors, 0, 0, 0)
    first = not d.layers
    words = max(rolling_words(tensor, chw=d.chw and first), rolling_words(out), out.pixels * out.passes)
    start = d.reserve(4 * words + 8, [tensor])
    if start is None:
        return None
    drawn = d.kernels(kernels, tensor, processors, area=9, groups=groups) if kernels else ({}, None)
    if drawn is None:
        return None
    place = Place(processors, start, start, start + 4 * words + 8)
    return d.add(d.reading(tensor) | keys | drawn[0], shape, place, drawn[1])


def _read_ahead(d, tensor, output, blocks):
    """Let the layer just added read ahead, if its buffers begin and end in different memory blocks."""
    layer, block = d.layers[-1], 0x4000
    if not d.new or layer.get("groups", 1) > 1 or not d.flag():
        return
    read = tensor.offset + 4 * tensor.passes * tensor.pixels - 1
    written = output.offset + 4 * output.passes * output.pixels - 1
    different = tensor.offset // block != output.offset // block and read // block != written // block
    if different and tensor.offset // block not in blocks[:-1]:
        layer["readahead"] = True


def fourfold(d: Draft, tensor: Tensor):
    """Conv2d layers with calcx4; nothing with kernels may follow. Return the output of the last."""
    d.plain = True
    result = None
    for number in range(d.number(1, 3)):
        if tensor.channels < 2 or (number and processors_per_pass(tensor.channels) != 64):
            break
        keys = {"op": "Conv2d", "kernel_size": "3x3", "calcx4": True}
        rows, columns = pooling(d, keys, tensor.size)
        pad = d.number(0, 2) if min(rows, columns) > 2 else 1
        keys |= {"pad": pad, "activate": d.pick(ACTIVATIONS)}
        channels = d.pick((*_ALL_CHANNELS, 32))
        shape = channels, rows + 2 * pad - 2, columns + 2 * pad - 2
        output = finish(d, keys, tensor, shape, (channels, tensor.channels, 3, 3), area=9)
        if output is None:
            break
        result = tensor = output
    d.finished |= result is not None
    return result
