"""Small generated projects, and what they should say."""

from __future__ import annotations

import pytest

from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.network.sizes import passes, processors_per_pass
from tests.support.networks import Weights, build

DEFAULT = MappingOptions()
DEVICES = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


def conv(processors, **keys):
    return {"op": "Conv2d", "pad": 1, "out_offset": 0, "processors": processors, **keys}


def classifier(device=MAX78000, bits=8, width=32, bias=True, outputs=10, **first):
    """Return a network of two layers that ends in `outputs` values."""
    layers = [
        conv(7, out_offset=0x2000, activate="ReLU", **first),
        {"op": "Linear", "flatten": True, "processors": 0xFF, "out_offset": 0x1000, "output_width": width},
    ]
    values = [10 * i - 50 for i in range(outputs)] if bias else None
    weights = [Weights((8, 3, 3, 3), shift=-1), Weights((outputs, 128, 1, 1), values, bits, shift=-1)]
    return build(layers, weights, (3, 4, 4), device)


def rendered(lowered, **options):
    return render_project(
        lowered.program, lowered.sample, ProjectOptions("test", "net.yaml", "net.pth.tar", **options)
    )[0]


def memory_after(lowered):
    """Return {address: word} as the accelerator leaves its data memory."""
    return {b.address + 4 * i: int(v) for b in lowered.answers for i, v in enumerate(b.values)}


def expected_softmax(values, shift=0):
    """Return softmax as the generated C code computes it."""
    x = [v << shift for v in values]
    base = max(x) - 262144
    active = [v > base for v in x]
    total = sum(1 << ((v - base + 8192) >> 14) for v, a in zip(x, active, strict=True) if a)
    ratio = 2**32 // total
    shifts = [17 + ((8191 + base - v) >> 14) for v in x]
    return [min(32767, ratio >> s) if a else 0 for s, a in zip(shifts, active, strict=True)]


def elements(network):
    """Yield (address, byte lane or None) of every output element, in unloading order."""
    for layer in network.outputs():
        count, rounds = processors_per_pass(layer.channels_out), passes(layer.channels_out)
        at = network.place(layer.index)
        used = [p for p in range(64) if at.output_processors >> p & 1]
        z = layer.output_width // 8
        for channel in range(layer.channels_out):
            e, r = divmod(channel, count)
            for d in range(layer.out_size[0] * layer.out_size[1]):
                base = network.device.instance(used[r]) + at.out_offset
                address = base + 4 * (d * rounds * z + e * z) * (at.write_gap + 1)
                yield address + (4 * (used[r] % 4) if z == 4 else 0), used[r] % 4 if z == 1 else None
