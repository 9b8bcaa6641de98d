"""Layers that continue a draft: each function reads a tensor and returns its output, None if it does not apply."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.network.sizes import passes, processor_map_for, processors_per_pass
from tests.support.random_networks.draft import Draft, Tensor, contiguous, kernel_columns, lowest, reshaped

CHANNELS = (4, 1, 8, 16, 2, 12, 20, 32, 60, 64, 72, 100, 128, 192, 256)
ACTIVATIONS = ("ReLU", "Abs", "None")
_LARGEST = 40


def pooling(d: Draft, keys, size, *, plain=False):
    """Add pooling keys, or none; return the size behind them. `plain`: neither strides nor dilation."""
    choice = d.pick(("none", "max_pool", "avg_pool", "none", "subsample"))
    flat = size[1] == 1
    if choice == "none":
        return size
    stride = 1 if plain else d.number(1, min(16, *(size if not flat else size[:1])) if d.rarely() else 3)
    if choice == "subsample":
        if stride == 1:
            return size
        keys["pool_stride"] = stride
        return tuple(-(-n // stride) for n in size)
    largest = 16 if d.rarely() else 3
    least = 2 if d.new and min(size) >= 4 and d.flag() else 1
    window = [d.number(least, min(largest, n)) for n in size]
    dilation = 1 if plain else _pool_dilation(d, window, size)
    pooled = tuple((n + stride - p - dilation + 1) // stride for n, p in zip(size, window, strict=True))
    fits = all(
        out >= 1 and (out - 1) * stride + (p - 1) * dilation < n for out, p, n in zip(pooled, window, size, strict=True)
    )
    if not fits or window == [1, 1]:
        return size
    keys[choice] = window[0] if window[0] == window[1] and d.flag() else window
    keys["pool_stride"] = stride
    if dilation > 1:
        keys["pool_dilation"] = [dilation, 1] if flat else dilation
    return pooled


def _pool_dilation(d, window, size):
    if not d.new or min(window) == 1 or not d.flag():
        return 1
    reach = [(n - 1) // (p - 1) for p, n in zip(window, size, strict=True)]
    return d.number(1, min(16, *(15 // (p - 1) for p in window), *reach))


def aligned_copies(processors):
    """Whether a layer that copies finds its outputs in the lanes of its inputs: they start at a multiple of four."""
    quadrants = [processors >> 16 * q & 0xFFFF for q in range(4)]
    return all(lowest(bits) % 4 == 0 for bits in quadrants if bits)


def output_map(d: Draft, channels, *, aligned=True):
    """Return a map for an output; one that does not start at a multiple of four ends the network."""
    processors = d.processor_map(channels)
    if aligned or d.weights or not 1 < channels < 60 or processors >> 60 or not d.flag():
        return processors
    d.finished = True
    return processors << d.number(1, 3)


def activation(d: Draft, keys):
    """Add an activation, or make the output 32 bits wide; return its width."""
    if d.wide and d.flag():
        keys["output_width"] = 32
        return 32
    keys[d.pick(("activate", "activation"))] = d.pick(ACTIVATIONS)
    return 8


def finish(d: Draft, keys, tensor, shape, kernels, *, area, groups=1, pixels=1, processors=None, extra=0, skipped=0):
    """Choose the place, draw kernels of the shape `kernels`, and append the layer; None if something does not fit."""
    free = groups == 1 and pixels == 1 and "calcx4" not in keys and not d.large(tensor.processors)
    processors = processors or output_map(d, shape[0], aligned=not free)
    wide = keys.get("output_width", 8)
    if lowest(processors) % 4 and wide != 8:
        del keys["output_width"]
        wide = 8
    place = d.place(shape, [tensor], processors, width=wide, extra=extra, skipped=skipped)
    if place is None:
        return None
    bias = d.new is False or "eltwise" not in keys
    drawn = d.kernels(kernels, tensor, processors, area=area, groups=groups, pixels=pixels, bias=bias)
    if drawn is None:
        return None
    keys = d.reading(tensor, whole="eltwise" in keys) | keys | drawn[0]
    if d.new and keys["op"] == "Conv2d" and "eltwise" not in keys and wide == 8 and groups == 1:
        _read_ahead(d, keys, tensor, place, shape)
    output = d.add(keys, shape, place, drawn[1], hidden=wide != 8)
    if wide != 8:
        d.wide_outputs.append(output)
    return output


def _read_ahead(d, keys, tensor, place, shape):
    if tensor.gap or not d.flag():
        return
    block = d.device.sub_instance_size
    read = tensor.offset + 4 * tensor.passes * tensor.pixels - 1
    written = place.offset + 4 * passes(shape[0]) * shape[1] * shape[2] - 1
    if tensor.offset // block != place.offset // block and read // block != written // block:
        keys["readahead"] = True
        if d.rarely():
            keys["tcalc"] = d.flag()


def convolution(d: Draft, tensor: Tensor):
    """Conv2d 1×1 or 3×3."""
    keys = {"op": "Conv2d"}
    rows, columns = pooling(d, keys, tensor.size)
    kernel = d.pick((3, 1))
    pad = d.number(0, kernel - 1)
    out = rows + 2 * pad - kernel + 1, columns + 2 * pad - kernel + 1
    if min(out) < 1:
        kernel, pad, out = 1, 0, (rows, columns)
    channels = d.pick(CHANNELS)
    activation(d, keys)
    keys |= {"kernel_size": f"{kernel}x{kernel}", "pad": pad}
    area = 9 if d.layers and d.layers[-1].get("streaming") else kernel * kernel
    return finish(d, keys, tensor, (channels, *out), (channels, tensor.channels, kernel, kernel), area=area)


def line(d: Draft, tensor: Tensor):
    """Return `tensor` as one-dimensional data, None if that is not possible."""
    if tensor.columns == 1:
        return tensor
    if len(tensor.sources) > 1 or tensor.pixels > 1000 or any(tensor.crop):
        return None
    return reshaped(tensor, tensor.pixels, 1)


def convolution_1d(d: Draft, tensor: Tensor):
    """Conv1d of 1 to 9 taps, dilated by stretching the kernel or by folding the data."""
    tensor = line(d, tensor)
    if tensor is None:
        return None
    if d.rarely():
        return _folded(d, tensor)
    keys = {"op": "Conv1d"}
    rows, _ = pooling(d, keys, tensor.size)
    kernel = d.number(1, min(9, rows))
    pad = 0 if d.new and tensor.passes > 1 else d.number(0, min(2, kernel - 1))
    dilation = 1
    if kernel > 1 and d.flag():
        dilation = d.number(1, min(8 // (kernel - 1), (rows + 2 * pad - 1) // (kernel - 1)))
        keys["dilation"] = dilation
    reach = dilation * (kernel - 1)
    channels = d.pick(CHANNELS)
    activation(d, keys)
    keys |= {"kernel_size": kernel, "pad": pad}
    shape = channels, rows + 2 * pad - reach, 1
    return finish(d, keys, tensor, shape, (channels, tensor.channels, kernel, 1), area=reach + 1)


def _folded(d, tensor):
    kernel = d.pick((2, 3))
    lowest_dilation = -(-9 // (kernel - 1))
    highest = min((tensor.rows - 1) // (kernel - 1), 300)
    if highest < lowest_dilation or (d.last >= 0 and d.layers[-1].get("streaming")):
        return None
    dilation = d.number(lowest_dilation, highest)
    folded = -(-tensor.rows // dilation) * dilation
    if tensor.offset + 4 * folded * tensor.passes > d.device.instance_size:
        return None
    if folded > tensor.rows and not d.layers and d.options.keys() & {"fifo", "fast_fifo", "fast_fifo_quad"}:
        return None
    channels = d.pick(CHANNELS)
    keys = {"op": "Conv1d", "kernel_size": kernel, "pad": 0, "dilation": dilation, "activate": d.pick(ACTIVATIONS)}
    length = tensor.rows - dilation * (kernel - 1)
    return finish(
        d,
        keys,
        tensor,
        (channels, length, 1),
        (channels, tensor.channels, kernel, 1),
        area=9,
        extra=folded - length,
        skipped=4 * dilation * passes(channels) if kernel == 3 else 0,
    )


def transposed(d: Draft, tensor: Tensor):
    """ConvTranspose2d, depthwise now and then."""
    keys = {"op": "ConvTranspose2d", "kernel_size": "3x3"}
    rows, columns = pooling(d, keys, tensor.size, plain=True)
    pad = d.number(0, 2)
    out = 2 * rows + 2 - 2 * pad, 2 * columns + 2 - 2 * pad
    if min(out) < 1 or max(out) > _LARGEST:
        return None
    channels = d.pick(CHANNELS[:11])
    activation(d, keys)
    keys |= {"pad": pad} | d.pick(({}, {"stride": 2}, {"output_pad": 1}))
    return finish(d, keys, tensor, (channels, *out), (channels, tensor.channels, 3, 3), area=9)


def depthwise(d: Draft, tensor: Tensor):
    """Grouped Conv2d, Conv1d or ConvTranspose2d, in place or moved to other processors."""
    channels, mine = tensor.channels, tensor.processors
    aligned = lowest(mine) % 4 == 0
    if not d.new or channels == 1 or not contiguous(mine) or (not aligned and mine >> lowest(mine) >= 1 << 16):
        return None
    keys = {"groups": channels}
    flat = tensor.columns == 1 and d.flag()
    rows, columns = pooling(d, keys, tensor.size)
    kernel = d.number(1, min(9, rows)) if flat else 3 if min(rows, columns) > 2 and d.flag() else 1
    pad = 0 if flat and tensor.passes > 1 else d.number(0, min(2, kernel - 1))
    keys |= {"op": "Conv1d" if flat else "Conv2d", "kernel_size": kernel if flat else f"{kernel}x{kernel}", "pad": pad}
    wide = kernel if not flat else 1
    size = rows + 2 * pad - kernel + 1, columns + (0 if flat else 2 * pad - wide + 1)
    activation(d, keys)
    target = mine if aligned and d.pick((True, True, False)) else d.processor_map(channels)
    shape = (channels, 1, kernel, wide)
    return finish(d, keys, tensor, (channels, *size), shape, area=9, groups=channels, processors=target)


def linear(d: Draft, tensor: Tensor):
    """Linear, or a 1×1 convolution, behind flatten if there are several pixels."""
    whole = tensor.channels == tensor.passes * processors_per_pass(tensor.channels)
    if tensor.pixels > 256 or not whole or tensor.channels * tensor.pixels > 8192:
        return None
    flat = tensor.pixels > 1
    if flat and tensor.gap:
        return None
    keys = {"op": d.pick(("Linear", "fc", "mlp"))}
    if flat and d.rarely():
        keys = {"op": "Conv2d", "kernel_size": "1x1", "pad": 0}
    if flat:
        keys["flatten"] = True
    channels = d.pick((10, 2, 1, 21, 64, 70, 100))
    activation(d, keys)
    inputs = tensor.channels * tensor.pixels
    return finish(d, keys, tensor, (channels, 1, 1), (channels, inputs, 1, 1), area=1, pixels=tensor.pixels)


def passthrough(d: Draft, tensor: Tensor):
    """Pooling or copying without convolution."""
    keys = {"op": d.pick(("none", "passthrough"))}
    size = tensor.size
    if not aligned_copies(same_quadrants(d, tensor)):
        return None
    if d.new or tensor.passes == 1 or d.rarely():
        size = pooling(d, keys, tensor.size)
    if not d.new and tensor.passes > 1 and size != (1, 1):
        size = tensor.size
        keys = {"op": keys["op"]}
    processors = same_quadrants(d, tensor)
    place = d.place((tensor.channels, *size), [tensor], processors)
    return None if place is None else d.add(d.reading(tensor) | keys, (tensor.channels, *size), place)


def _moved(d, processors):
    """Return `processors`, which lie in one quadrant, or another place for them there."""
    first, count = lowest(processors), processors.bit_count()
    if first % 4 or not d.rarely():
        return processors
    return processor_map_for(count) << first // 16 * 16 + 4 * d.number(0, (16 - count) // 4)


def same_quadrants(d: Draft, tensor: Tensor):
    """Return an output map for a layer without convolution: per quadrant as many, and contiguous."""
    mine = tensor.processors
    quadrants = [mine >> 16 * q & 0xFFFF for q in range(4)]
    if not contiguous(mine):
        return sum((1 << bits.bit_count()) - 1 << 16 * q for q, bits in enumerate(quadrants))
    return _moved(d, mine) if sum(map(bool, quadrants)) == 1 else mine


def bypass(d: Draft, tensor: Tensor):
    """A convolution without weights."""
    if not d.new or tensor.channels * 9 > 4096:
        return None
    keys = {
        "op": "Conv2d",
        "bypass": True,
        "output_shift": d.pick((0, -3, -6, 7, -15)),
        "activate": d.pick(ACTIVATIONS),
    }
    rows, columns = pooling(d, keys, tensor.size)
    kernel = 1 if min(rows, columns) < 3 else d.pick((3, 1))
    if kernel == 1 and d.layers and d.layers[-1].get("streaming"):
        return None  # would become a 3×3 kernel of ones
    pad = d.number(0, kernel - 1)
    keys |= {"kernel_size": f"{kernel}x{kernel}", "pad": pad}
    channels = tensor.channels
    if d.rarely():
        keys["out_channels"] = channels = d.pick(CHANNELS[:9])
    shape = channels, rows + 2 * pad - kernel + 1, columns + 2 * pad - kernel + 1
    place = d.place(shape, [tensor], d.processor_map(channels))
    return None if place is None else d.add(d.reading(tensor) | keys, shape, place)


def shared_weights(d: Draft, tensor: Tensor):
    """A Conv2d with the weights of an earlier one, which is added if there is none that fits."""
    if not any(_shareable(d, number, tensor) for number in d.weights) and not d.finished:
        kernel = d.pick((3, 1))
        keys = {"op": "Conv2d", "kernel_size": f"{kernel}x{kernel}", "pad": kernel // 2}
        activation(d, keys)
        kernels = tensor.channels, tensor.channels, kernel, kernel
        tensor = finish(d, keys, tensor, (tensor.channels, *tensor.size), kernels, area=9)
        if tensor is None or "output_width" in keys:
            return tensor
    for number, weights in d.weights.items():
        if not _shareable(d, number, tensor):
            continue
        outputs, _, rows, columns = weights.kernels.shape
        pad = 1 if rows == 3 else 0
        keys = {"op": "Conv2d", "kernel_size": f"{rows}x{columns}", "pad": pad, "weight_source": number}
        keys |= {"quantization": "binary" if weights.bits == -1 else weights.bits, "activate": d.pick(ACTIVATIONS)}
        shape = outputs, *tensor.size
        processors = d.processor_map(outputs)
        place = d.place(shape, [tensor], processors)
        columns = kernel_columns(processors, outputs, tensor.passes, 9, weights.bits)
        if place is None or not d.shared(number, tensor, processors, columns):
            return None
        return d.add(d.reading(tensor) | keys, shape, place)
    return None


def _shareable(d, number, tensor):
    """Whether a layer that reads `tensor` can use the weights of layer `number`."""
    source, weights = d.layers[number], d.weights[number]
    plain = source["op"] == "Conv2d" and "groups" not in source and "flatten" not in source
    return plain and weights.kernels.shape[1] == tensor.channels and "calcx4" not in source


def crop(d: Draft, tensor: Tensor):
    """Return `tensor` without some rows at both ends."""
    if len(tensor.sources) > 1 or tensor.sources == (-2,) or tensor.rows < 4 or any(tensor.crop) or tensor.gap:
        return tensor
    first, last = d.number(0, 1), d.number(0, 1)
    if not first and not last:
        return tensor
    offset = tensor.offset + 4 * first * tensor.columns * tensor.passes
    rows = tensor.rows - first - last
    return replace(tensor, rows=rows, offset=offset, crop=(first, last), reshaped=True)


def reshape(d: Draft, tensor: Tensor):
    """Return `tensor` with other dimensions: one-dimensional, or folded."""
    if len(tensor.sources) > 1 or tensor.sources == (-2,) or any(tensor.crop) or tensor.pixels > 1000:
        return tensor
    factors = [n for n in range(1, min(tensor.pixels, _LARGEST) + 1) if tensor.pixels % n == 0]
    columns = d.pick(factors)
    return reshaped(tensor, tensor.pixels // columns, columns)
