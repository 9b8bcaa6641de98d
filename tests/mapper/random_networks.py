"""Small random networks: chains with pooling, depthwise and 1D layers, half of them with branches that meet again."""

from __future__ import annotations

import numpy as np

from ai8x_tool.errors import Ai8xError
from ai8x_tool.network import INPUT, Layer, Parameters, build_network
from ai8x_tool.network.sizes import passes, processors_per_pass

_KERNELS_2D, _KERNELS_1D = ((3, 3), (1, 1)), ((1, 1), (3, 1), (5, 1), (9, 1))
_CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 36, 40, 48, 60, 64, 68, 72, 96, 100, 120, 128)


class _Builder:
    """Adds random layers, and knows the channels and size of every value."""

    def __init__(self, seed, device):
        self.random = np.random.default_rng(seed)
        self.device = device
        self.layers = []
        self.one = self.random.random() < 0.25
        self.shapes = {}

    def choose(self, values):
        return values[int(self.random.integers(len(values)))]

    def input(self):
        channels = self.choose((1, 2, 3, 3, 4, 8, 16, 24, 48, 64, 80))
        size = (
            (self.choose((16, 24, 33, 64)), 1) if self.one else (self.choose((8, 11, 16, 20)), self.choose((8, 12, 17)))
        )
        self.shapes[INPUT] = channels, size
        return channels, *size

    def name(self):
        return f"layer_{len(self.layers)}"

    def add(self, layer, channels, size):
        self.layers.append(layer)
        self.shapes[layer.name] = channels, size
        return layer.name

    def convolution(self, source, *, channels=None, pooled=None, size=None):
        """Add a convolution; `channels` None: any. Without pooling and with padding the size stays."""
        before, (rows, columns) = self.shapes[source]
        whole = before == passes(before) * processors_per_pass(before)  # narrow weights need whole passes
        bits = self.choose((8, 8, 8, 4, 2, 1)) if whole else 8
        depthwise = self.device.depthwise and channels in (None, before) and before > 1 and self.random.random() < 0.15
        outputs = before if depthwise else channels or self.choose(_CHANNELS)
        kernel = self.choose(_KERNELS_1D if self.one else _KERNELS_2D)
        pad = (kernel[0] // 2 if kernel[0] <= 5 else 2, 0 if self.one else kernel[1] // 2)
        if kernel[0] == 9 or (self.one and before > 64):
            kernel, pad = (1, 1), (0, 0)
        pool = (1, 1)
        if pooled is not False and min(rows, columns if not self.one else rows) >= 6 and self.random.random() < 0.3:
            pool = (2, 1) if self.one else (2, 2)
        rows, columns = rows // pool[0], columns // pool[1]
        weights = self.random.integers(-(1 << bits - 1), 1 << bits - 1, (outputs, 1 if depthwise else before, *kernel))
        biased = self.random.random() < 0.4
        bias = self.random.integers(-100, 100, outputs) if biased else None
        layer = Layer(
            self.name(),
            (source,) if isinstance(source, str) or source is INPUT else source,
            "conv1d" if self.one else "conv2d",
            groups=before if depthwise else 1,
            activation=self.choose(("relu", "relu", "none", "abs")),
            kernel=kernel,
            pad=pad,
            pool=pool,
            pool_stride=pool,
            pool_average=bool(self.random.random() < 0.2),
            parameters=Parameters(f"w{len(self.layers)}", weights, bias, bits, -2),
        )
        return self.add(layer, outputs, (rows, columns))

    def residual(self, source):
        """Add a branch of one or two layers, and add it to `source` or to another branch."""
        channels, size = self.shapes[source]
        straight = isinstance(source, str) and self.random.random() < 0.6
        width = channels if straight else self.choose((4, 8, 16, 20, 32, 64))
        other = source if straight else self.convolution(source, channels=width, pooled=False)
        branch = self.convolution(source, pooled=False)
        if self.shapes[branch][0] != width or self.random.random() < 0.5:
            branch = self.convolution(branch, channels=width, pooled=False)
        operation = self.choose(("add", "add", "sub", "xor"))
        layer = Layer(self.name(), (other, branch), "none", eltwise=operation, operands=2)
        return self.add(layer, width, size)

    def joined(self, source):
        """Add two branches side by side, and a convolution that reads both."""
        size = self.shapes[source][1]
        widths = self.choose(((4, 8), (16, 16), (12, 20), (32, 32), (64, 64), (8, 5), (24, 40)))
        branches = [self.convolution(source, channels=width, pooled=False) for width in widths]
        total, outputs = sum(widths), self.choose(_CHANNELS)
        weights = self.random.integers(-128, 128, (outputs, total, 1, 1))
        parameters = Parameters(f"w{len(self.layers)}", weights, None, 8, -2)
        layer = Layer(
            self.name(), tuple(branches), "conv1d" if self.one else "conv2d", activation="relu", parameters=parameters
        )
        return self.add(layer, outputs, size)


def random_network(seed, device):
    """Return a network; half of them have additions or concatenations."""
    for attempt in range(50):
        builder = _Builder((seed, attempt), device)
        shape = builder.input()
        source = builder.convolution(INPUT)
        branched = bool(seed % 2)
        for number in range(int(builder.random.integers(2, 6))):
            if branched and (number == 0 or builder.random.random() < 0.4):
                source = builder.residual(source) if builder.random.random() < 0.6 else builder.joined(source)
            else:
                source = builder.convolution(source)
        try:
            return build_network(f"random{seed}", shape, builder.layers)
        except Ai8xError:
            continue
    raise AssertionError(f"no valid network of seed {seed}")
