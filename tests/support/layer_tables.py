"""Networks of the published measurements, layer by layer: each layer is mapped alone, as its time depends on no other.

Copies of residual networks: one for each addition that is fused into the next convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod

from ai8x_tool.device import MAX78002
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.network.sizes import processor_map_for
from tests.support.networks import build, mapped


@dataclass(frozen=True)
class Row:
    """One layer. `size` is that of its input, (length,) for 1D data; `pool` a size with its stride."""

    op: str
    inputs: int
    outputs: int
    size: tuple[int, ...]
    kernel: int = 1
    pad: int = 0
    pool: tuple[str, int, int] | None = None
    groups: int = 1
    operands: int = 1
    flatten: bool = False

    def keys(self, out_offset=0x8000):
        """Return the keys of a description."""
        convolution = self.op.startswith("Conv")
        given = {"op": self.op, "processors": processor_map_for(self.inputs), "out_offset": out_offset}
        if convolution:
            kernel = self.kernel if len(self.size) == 1 else f"{self.kernel}x{self.kernel}"
            given |= {"kernel_size": kernel, "pad": self.pad, "groups": self.groups}
        if self.pool:
            kind, size, stride = self.pool
            given |= {f"{kind}_pool": size, "pool_stride": stride}
        if self.operands > 1:
            given |= {"operands": self.operands} | ({"eltwise": "add"} if convolution else {})
        return given | ({"flatten": True} if self.flatten else {})

    def shape(self):
        """Return the shape of the weights."""
        pixels = prod(self.size) if self.flatten else 1
        columns = 1 if self.op == "Conv1d" else self.kernel
        return (self.outputs, self.inputs // self.groups * pixels, self.kernel, columns)

    def mapped(self, device):
        """Return the layer, mapped alone."""
        rows, columns = (*self.size, 1)[:2]
        weights = [] if self.op in ("none", "add") else [self.shape()]
        network = build([self.keys()], weights, (self.inputs * self.operands, rows, columns), device)
        return mapped(network, MappingOptions()).layers[0]


def max_pool(size=2, stride=2):
    return ("max", size, stride)


def conv(inputs, outputs, side, kernel=3, pool=None, **more):
    """A convolution that keeps the size of its `side`×`side` input, or halves it by pooling."""
    return Row("Conv2d", inputs, outputs, (side, side), kernel, kernel // 2, max_pool() if pool else None, **more)


def depthwise(channels, side, pool=None):
    return conv(channels, channels, side, pool=pool, groups=channels)


def add(channels, side):
    return Row("add", channels, channels, (side, side), operands=2)


def copy(channels, side):
    return Row("none", channels, channels, (side, side))


def conv1d(inputs, outputs, length, kernel=3, pool=None, pad=0):
    return Row("Conv1d", inputs, outputs, (length,), kernel, pad, pool)


def simplenet(widths, late, residual):
    """The CIFAR-100 networks: `widths` of conv1 to conv10, `late` of conv12 and conv13."""
    a, b, c, d, e = widths
    added = {"operands": 2} if residual else {}
    first = [conv(3, a, 32), conv(a, b, 32), conv(b, b, 32)]
    second = [conv(b, b, 32, **added), conv(b, b, 32, pool=True), conv(b, b, 16)]
    third = [conv(b, c, 16, **added), conv(c, d, 16, pool=True), conv(d, d, 8), conv(d, e, 8, pool=True, **added)]
    last = [conv(e, 512, 4, 1, pool=True), conv(512, late, 2, 1), conv(late, late, 2, pool=True), conv(late, 100, 1, 1)]
    copies = [copy(b, 32), copy(b, 16), copy(d, 8)] if residual else []
    return [*first, *second, *third, *last, *copies]


def keywords():
    """Keyword spotting, version 2, without padding."""
    return [
        conv1d(128, 100, 128, 1),
        conv1d(100, 48, 128),
        conv1d(48, 96, 126, pool=max_pool()),
        conv1d(96, 128, 61),
        conv1d(128, 160, 59, pool=max_pool()),
        conv1d(160, 192, 27),
        conv1d(192, 192, 25, pool=("avg", 2, 2)),
        conv1d(192, 32, 10),
        Row("Linear", 32, 21, (8,), flatten=True),
    ]


def unet(outputs):
    """The large U-Net on 48 channels of 48×48, with the identity layer that the description inserts."""
    up = partial(Row, "ConvTranspose2d", kernel=3, pad=1)
    return [
        *(conv(48, 64, 48, 1), conv(64, 64, 48, 1), conv(64, 32, 48, 1), conv(32, 8, 48)),
        *(conv(8, 28, 48, pool=True), conv(28, 56, 24, pool=True), conv(56, 112, 12, pool=True)),
        *(conv(56, 56, 12, 1), up(112, 56, (6, 6)), conv(112, 56, 12), up(56, 28, (12, 12)), conv(56, 28, 24)),
        *(up(28, 8, (24, 24)), conv(16, 48, 48), conv(48, 64, 48)),
        *(conv(64, 64, 48, 1), conv(64, 64, 48, 1), conv(64, 64, 48, 1), conv(64, outputs, 48, 1)),
    ]


def fused(inputs, outputs, expansion, side):
    """A block of 3×3 expansion and 1×1 projection, and its addition."""
    wide = inputs * expansion
    blocks = [conv(inputs, wide, side), conv(wide, outputs, side, 1)]
    return blocks + ([add(outputs, side)] if inputs == outputs else [])


def separable(inputs, outputs, expansion, side, pool=False):
    """A block of 1×1 expansion, 3×3 depthwise layer, 1×1 projection, and its addition."""
    wide, after = inputs * expansion, side // 2 if pool else side
    first = [conv(inputs, wide, side, 1)] if expansion > 1 else []
    blocks = [*first, depthwise(wide, side, pool), conv(wide, outputs, after, 1)]
    return blocks + ([add(outputs, after)] if inputs == outputs and not pool else [])


def efficient_net():
    return [
        *(conv(3, 32, 32, pool=True), conv(32, 16, 16, 1)),
        *(fused(16, 32, 4, 16) + fused(32, 32, 4, 16) + fused(32, 48, 4, 16) + fused(48, 48, 4, 16)),
        *(separable(48, 96, 4, 16) + separable(96, 96, 4, 16) + separable(96, 128, 4, 16)),
        *(*separable(128, 128, 4, 16), conv(128, 1024, 16, 1)),
        *(Row("none", 1024, 1024, (16, 16), pool=("avg", 16, 16)), Row("Linear", 1024, 100, (1, 1))),
    ]


def imagenet_net():
    return [
        *(conv(3, 32, 112, pool=True), conv(32, 16, 56, 1)),
        *(fused(16, 32, 4, 56) + fused(32, 32, 4, 56) + fused(32, 48, 4, 56) + 2 * fused(48, 48, 4, 56)),
        *(Row("none", 48, 48, (56, 56), pool=max_pool()), *separable(48, 96, 2, 28), *separable(96, 96, 2, 28)),
        *(*separable(96, 128, 2, 28), conv(128, 128, 28, 1, pool=True), *separable(128, 128, 4, 14)),
        conv(128, 1024, 14, 1),
        *(Row("none", 1024, 1024, (14, 14), pool=("avg", 14, 14)), Row("Linear", 1024, 1000, (1, 1))),
    ]


def mobile_net():
    """MobileNet v2 for CIFAR-100 at 0.75 of the width."""
    settings = [(1, 24, 12, 1, 1), (2, 12, 20, 2, 6), (3, 20, 24, 2, 6), (4, 24, 48, 2, 6)]
    settings += [(3, 48, 72, 1, 6), (3, 72, 120, 1, 6), (1, 120, 240, 1, 6)]
    rows, side = [conv(3, 24, 32)], 32
    for repeat, inputs, outputs, stride, expansion in settings:
        for index in range(repeat):
            pool = stride == 2 and index == 0
            rows += separable(inputs if index == 0 else outputs, outputs, expansion, side, pool)
            side = side // 2 if pool else side
    classifier = Row("Conv2d", 960, 100, (4, 4), pool=("avg", 4, 4))
    return [*rows, conv(240, 960, 4, 1), classifier]


def face_identification():
    """3×160×120 through a FIFO; the first two layers stream."""
    sizes = [(160, 120), (160, 120), (80, 60), (40, 30), (20, 15), (10, 7), (10, 7)]
    channels = [3, 16, 32, 32, 64, 64, 64, 64]
    pools = [None, max_pool(), max_pool(), max_pool(), max_pool(), None, None]
    rows = [Row("Conv2d", channels[i], channels[i + 1], size, 3, 1, pools[i]) for i, size in enumerate(sizes)]
    average = Row("none", 512, 512, (5, 3), pool=("avg", [5, 3], 1))
    return [*rows, Row("Conv2d", 64, 512, (10, 7), pool=max_pool()), average]


def layers(rows, device=MAX78002):
    """Return the mapped layers of `rows`, each alone."""
    return [row.mapped(device) for row in rows]


def mapping(rows, device=MAX78002, streaming=0):
    """Return `rows` as one mapped chain, the first `streaming` of them streaming from a FIFO."""
    keys = [row.keys(0x4000 * (index % 2)) for index, row in enumerate(rows)]
    for index in range(streaming):
        keys[index] |= {"streaming": True}
    weights = [row.shape() for row in rows if row.op not in ("none", "add")]
    rows_in, columns_in = (*rows[0].size, 1)[:2]
    network = build(keys, weights, (rows[0].inputs, rows_in, columns_in), device)
    return mapped(network, MappingOptions(fifo=streaming > 0))
