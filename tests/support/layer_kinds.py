"""Single layers of every kind, with what they are to read at a fixed offset, for tests of where and when they write."""

from __future__ import annotations

from ai8x_tool.device import MAX78000, MAX78002

INPUT = 0x400


def layer(op, outputs=0xF, processors=0xF, **keys):
    base = {"processors": processors, "output_processors": outputs, "in_offset": INPUT, "activate": "None"}
    return {"op": op, **base, **keys}


def conv(kernel="3x3", pad=1, **keys):
    return layer("Conv2d", kernel_size=kernel, pad=pad, **keys)


POOL = {"max_pool": [2, 3], "pool_stride": 2}
KINDS = {
    # name: (layer, weights, shape, device)
    "3x3": (conv(), [(4, 4, 3, 3)], (4, 5, 6), MAX78000),
    "3x3 without padding": (conv(pad=0), [(4, 4, 3, 3)], (4, 5, 6), MAX78000),
    "wide padding": (conv(pad=2), [(4, 4, 3, 3)], (4, 4, 3), MAX78002),
    "1x1": (conv("1x1", 0), [(4, 4, 1, 1)], (4, 3, 5), MAX78000),
    "pooling": (conv(**POOL), [(4, 4, 3, 3)], (4, 6, 7), MAX78000),
    "sparse pooling": (conv("1x1", 0, max_pool=2, pool_stride=3), [(4, 4, 1, 1)], (4, 8, 8), MAX78000),
    "pool dilation": (conv("1x1", 0, max_pool=2, pool_stride=1, pool_dilation=2), [(4, 4, 1, 1)], (4, 6, 5), MAX78002),
    "stride": (layer("none", pool_stride=2), [], (4, 6, 6), MAX78002),
    "operands": (conv("1x1", 0, eltwise="add", operands=2), [(4, 4, 1, 1)], (8, 4, 4), MAX78000),
    "operands without kernels": (layer("add", operands=3), [], (12, 4, 3), MAX78002),
    "emulated operator": (layer("sub", operands=3), [], (12, 4, 3), MAX78000),
    "input passes": (conv(processors=(1 << 36) - 1), [(4, 70, 3, 3)], (70, 4, 4), MAX78000),
    "output passes": (conv(outputs=(1 << 36) - 1), [(70, 4, 3, 3)], (4, 4, 4), MAX78000),
    "passthrough of several passes": (layer("none", (1 << 36) - 1, (1 << 36) - 1), [], (70, 3, 4), MAX78000),
    "gap": (conv(write_gap=2), [(4, 4, 3, 3)], (4, 4, 5), MAX78000),
    "read gap": (conv(read_gap=1), [(4, 4, 3, 3)], (4, 4, 5), MAX78002),
    "32 bits": (conv(output_width=32), [(4, 4, 3, 3)], (4, 4, 5), MAX78000),
    "transposed": (layer("ConvTranspose2d", pad=1), [(4, 4, 3, 3)], (4, 4, 5), MAX78000),
    "transposed, pad 0": (layer("ConvTranspose2d", pad=0), [(4, 4, 3, 3)], (4, 3, 3), MAX78002),
    "depthwise": (conv(groups=4), [(4, 1, 3, 3)], (4, 5, 4), MAX78002),
    "1D": (layer("Conv1d", kernel_size=4, pad=1, max_pool=2, pool_stride=2), [(4, 4, 4, 1)], (4, 20, 1), MAX78000),
    "flatten": (layer("Linear", flatten=True), [(4, 4 * 12, 1, 1)], (4, 3, 4), MAX78000),
    "channels side by side": (conv(processors=0x11, data_format="CHW"), [(4, 2, 3, 3)], (2, 6, 9), MAX78000),
    "passthrough": (layer("none"), [], (4, 5, 5), MAX78002),
    "other lanes": (conv("1x1", 0, processors=0x3, outputs=0xC), [(2, 2, 1, 1)], (2, 3, 4), MAX78000),
}
