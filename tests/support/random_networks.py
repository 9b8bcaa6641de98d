"""Random legal networks: descriptions with weights and a sample, for all operators of both parts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
from networks import Weights, random_kernels

from ai8x_tool.device import DEVICES, MAX78000, Device
from ai8x_tool.network.dimensions import processors_per_pass


@dataclass
class RandomNetwork:
    """A network under construction; `shape` is (channels, rows, columns) of the data so far."""

    seed: int
    device: Device
    shape: tuple
    sample_shape: tuple
    processors: int
    layers: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    offset: int = 0
    one_dimensional: bool = False
    finished: bool = False

    @property
    def sample(self):
        generator = np.random.default_rng(self.seed)
        return generator.integers(-128, 128, self.sample_shape)


def random_network(seed):
    """Return a random legal network."""
    r = random.Random(seed)
    device = r.choice(DEVICES)
    flat = r.random() < 0.3
    channels = r.choice([1, 2, 3, 4, 7, 12, 16, 30, 64, 65, 100, 128, 192])
    rows, columns = (r.randint(6, 60), 1) if flat else (r.randint(4, 18), r.randint(4, 18))
    chw = channels <= 16 and r.random() < 0.3
    processors = sum(1 << 4 * i for i in range(channels)) if chw else (1 << processors_per_pass(channels)) - 1
    net = RandomNetwork(seed, device, (channels, rows, columns), (channels, rows, columns), processors)
    net.one_dimensional = flat
    for index in range(r.randint(1, 6)):
        choices = [_convolution, _convolution, _pool]
        if not flat:
            choices += [_transposed, _eltwise]
        if device is not MAX78000:
            choices.append(_depthwise)
        first = len(net.layers)
        r.choice(choices)(net, r)
        if index == 0 and chw and net.layers:
            if first == 0 and net.layers[0]["op"].lower().startswith(("conv", "linear")) and len(net.layers) == 1:
                net.layers[0]["data_format"] = "CHW"
            else:
                return random_network(seed + 1_000_003)
    if r.random() < 0.4:
        _linear(net, r)
    if not net.layers:
        _convolution(net, r)
    return net


def _map(r, channels):
    bits = processors_per_pass(channels)
    return ((1 << bits) - 1) << 4 * r.randint(0, (64 - bits) // 4)


def _next_offset(net):
    half = net.device.instance_size // 2
    return half if net.offset < half else 0


def _bits(r, net):
    choices = [8, 8, 8, 4, 2, 1] + ([-1] if net.device is not MAX78000 else [])
    used = {w.bits for w in net.weights}
    return r.choice([b for b in choices if not (b == 1 and -1 in used) and not (b == -1 and 1 in used)])


def _fits(net, channels, rows, columns, width=8, gap=0):
    words = rows * columns * -(-channels // 64) * (width // 8) * (gap + 1)
    return rows >= 1 and columns >= 1 and 4 * words <= net.device.instance_size // 2


def _add(net, r, layer, out_shape, weights=None, out_map=None):
    """Append a layer that writes `out_shape` to the other half of data memory."""
    target = _next_offset(net)
    out_map = out_map or _map(r, out_shape[0])
    layer |= {"processors": net.processors, "output_processors": out_map, "out_offset": target}
    net.layers.append(layer)
    if weights is not None:
        net.weights.append(weights)
    net.shape, net.processors, net.offset = out_shape, out_map, target


def _weights(r, net, shape, channels_out, bias=True):
    bits = _bits(r, net)
    kernels = random_kernels(shape, bits, r.randrange(1 << 20))
    if not kernels.any():
        kernels[0] = 1 if bits != 1 else -1
    values = [r.randint(-128, 127) for _ in range(channels_out)] if bias and r.random() < 0.5 else None
    low, high = -15 - (8 - abs(bits)), 15 - (8 - abs(bits))
    return Weights(kernels, values, bits, r.randint(max(low, -6), min(high, 4)))


def _quantized(layer, weights):
    layer["quantization"] = "binary" if weights.bits == -1 else weights.bits
    return layer


def _pooled(r, net, layer):
    """Add pooling to `layer` now and then; return the pooled size."""
    _, rows, columns = net.shape
    if r.random() > 0.5:
        return rows, columns
    size, stride = r.randint(1, 3), r.randint(1, 3)
    pooled = (rows - size) // stride + 1, 1 if net.one_dimensional else (columns - size) // stride + 1
    if size == 1 or min(pooled) < 3 - 2 * net.one_dimensional or pooled[0] < 3:
        return rows, columns
    layer |= {r.choice(["max_pool", "avg_pool"]): size, "pool_stride": stride}
    return pooled


def _convolution(net, r):
    if net.one_dimensional:
        _convolution_1d(net, r)
        return
    channels_in = net.shape[0]
    layer = {"op": "Conv2d", "activate": r.choice(["ReLU", "Abs", "None"])}
    kernel = r.choice([1, 3, 3])
    rows, columns = _pooled(r, net, layer)
    pad = r.randint(0, kernel - 1) if kernel > 1 else 0
    out = rows + 2 * pad - kernel + 1, columns + 2 * pad - kernel + 1
    channels = r.choice([1, 4, 8, 12, 20, 64, 72, 128])
    if not _fits(net, channels, *out) or min(out) < 1:
        return
    weights = _weights(r, net, (channels, channels_in, kernel, kernel), channels)
    _add(
        net,
        r,
        _quantized(layer | {"kernel_size": f"{kernel}x{kernel}", "pad": pad}, weights),
        (channels, *out),
        weights,
    )


def _convolution_1d(net, r):
    channels_in = net.shape[0]
    layer = {"op": "Conv1d", "activate": r.choice(["ReLU", "Abs", "None"])}
    rows, _ = _pooled(r, net, layer)
    kernel = r.randint(1, min(9, rows))
    padded = net.device is MAX78000 or channels_in <= 64
    pad = r.randint(0, min(2, kernel - 1)) if padded else 0
    if kernel > 1 and r.random() < 0.3:
        layer["dilation"] = r.randint(1, 8 // (kernel - 1))
    out = rows + 2 * pad - layer.get("dilation", 1) * (kernel - 1)
    channels = r.choice([1, 4, 8, 12, 20, 64, 72, 128])
    if out < 1 or not _fits(net, channels, out, 1):
        return
    weights = _weights(r, net, (channels, channels_in, kernel, 1), channels)
    _add(net, r, _quantized(layer | {"kernel_size": kernel, "pad": pad}, weights), (channels, out, 1), weights)


def _transposed(net, r):
    channels_in, rows, columns = net.shape
    pad = r.randint(0, 2)
    out = (rows - 1) * 2 - 2 * pad + 4, (columns - 1) * 2 - 2 * pad + 4
    channels = r.choice([4, 8, 16])
    if min(out) < 1 or not _fits(net, channels, *out) or max(out) > 40:
        return
    weights = _weights(r, net, (channels, channels_in, 3, 3), channels)
    layer = {"op": "ConvTranspose2d", "kernel_size": "3x3", "pad": pad, "activate": "ReLU"}
    _add(net, r, _quantized(layer, weights), (channels, *out), weights)


def _depthwise(net, r):
    channels, rows, columns = net.shape
    lowest = (net.processors & -net.processors).bit_length() - 1
    contiguous = net.processors >> lowest == (1 << net.processors.bit_count()) - 1
    if net.one_dimensional or channels == 1 or lowest % 4 or not contiguous:
        return
    pad = r.randint(0, 2)
    out = rows + 2 * pad - 2, columns + 2 * pad - 2
    if min(out) < 1 or not _fits(net, channels, *out):
        return
    weights = _weights(r, net, (channels, 1, 3, 3), channels)
    layer = {"op": "Conv2d", "kernel_size": "3x3", "pad": pad, "groups": channels, "activate": "None"}
    _add(net, r, _quantized(layer, weights), (channels, *out), weights, out_map=net.processors)


def _pool(net, r):
    channels, _rows, _columns = net.shape
    layer = {"op": "none"}
    if net.device is MAX78000 and channels > 64:
        return
    lowest = (net.processors & -net.processors).bit_length() - 1
    if net.processors >> lowest != (1 << net.processors.bit_count()) - 1:
        return
    out = _pooled(r, net, layer)
    if _fits(net, channels, *out):
        _add(net, r, layer, (channels, *out), out_map=net.processors)


def _eltwise(net, r):
    """Two convolutions of the same source into interleaved words, then their sum or difference."""
    channels_in, rows, columns = net.shape
    channels = r.choice([4, 16, 60, 64])
    if not net.layers or not _fits(net, channels, rows, columns, gap=1):
        return
    target, source, processors = _next_offset(net), len(net.layers) - 1, net.processors
    common, offset = _map(r, channels), net.offset
    for operand in (0, 1):
        weights = _weights(r, net, (channels, channels_in, 3, 3), channels)
        layer = {"op": "Conv2d", "kernel_size": "3x3", "pad": 1, "activate": "None", "write_gap": 1}
        layer |= {"processors": processors, "output_processors": common, "out_offset": target + 4 * operand}
        layer |= {"in_sequences": source, "in_offset": offset}
        net.layers.append(_quantized(layer, weights))
        net.weights.append(weights)
    names = [len(net.layers) - 2, len(net.layers) - 1]
    net.shape, net.processors, net.offset = (channels, rows, columns), common, target
    layer = {"op": r.choice(["add", "sub", "xor", "or"]), "in_sequences": names, "in_offset": target}
    _add(net, r, layer, net.shape, out_map=common)


def _linear(net, r):
    channels, rows, columns = net.shape
    inputs = channels * rows * columns
    if rows * columns > 256 or inputs > 4000 or channels > 64:
        return
    outputs = r.choice([2, 10, 21, 70])
    weights = _weights(r, net, (outputs, inputs, 1, 1), outputs)
    layer = {"op": "Linear", "activate": "None", "flatten": True}
    if r.random() < 0.5:
        layer["output_width"] = 32
    out_map = (1 << processors_per_pass(outputs)) - 1
    _add(net, r, _quantized(layer, weights), (outputs, 1, 1), weights, out_map=out_map)
