"""Programs that give no diagnostics, ways to change them, and the check of what a change gives."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import registers
from ai8x_tool.device.stores import Stores
from ai8x_tool.errors import Ai8xError
from ai8x_tool.virtual import VirtualDevice
from tests.support.networks import LOWERING, MAPPING, QUIET, Weights, build, program, random_sample
from tests.support.program_stores import replaced

BOTH = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)
FIFO = replace(MAPPING, fifo=True)


def conv(processors, outputs, offset=0x2000, **more):
    base = {"op": "Conv2d", "kernel_size": "3x3", "pad": 1, "activate": "ReLU"}
    return base | {"processors": processors, "output_processors": outputs, "out_offset": offset} | more


TWO_LAYERS = [conv(0xF_0007, 0xFF), conv(0xFF, 0xF, 0x4000, in_offset=0x2000)]
TWO_WEIGHTS = [Weights((8, 7, 3, 3), bias=list(range(1, 9))), (4, 8, 3, 3)]
STREAM = [
    conv(0x7, 0xF, 0x1000, streaming=True),
    conv(0xF, 0xFF, 0x4000, in_offset=0x1000, streaming=True),
    conv(0xFF, 0xF, 0x1000, in_offset=0x4000),
]
STREAM_WEIGHTS = [(4, 3, 3, 3), (8, 4, 3, 3), (4, 8, 3, 3)]


class Good:
    """The stores of a program that gives no diagnostics, and ways to change them."""

    def __init__(self, device=MAX78000, layers=TWO_LAYERS, weights=TWO_WEIGHTS, shape=(7, 8, 8), mapping=MAPPING):
        self.device = device
        network = build(layers, weights, shape, device, console=QUIET)
        self.program = program(network, mapping, LOWERING, random_sample(shape))
        self.stores = self.program.stores()
        assert VirtualDevice(device, strict=True).load(self.stores).run().completed == 1

    def address(self, name, quadrant=0, layer=0):
        return registers(self.device)[name].address(self.device, quadrant, layer)

    def find(self, name, quadrant=0, layer=0):
        """Return the index of the last store to a register."""
        return int(np.flatnonzero(self.stores.addresses == self.address(name, quadrant, layer))[-1])

    def fields(self, name, quadrant=0, layer=0, **fields):
        """Return stores with other fields in a register; zeros are not stored."""
        register, address = registers(self.device)[name], self.address(name, quadrant, layer)
        if not (self.stores.addresses == address).any():
            return self.before_start((address, register.encode(fields)))
        index = self.find(name, quadrant, layer)
        old = register.decode(int(self.stores.values[index]))
        return replaced(self.stores, index, register.encode(old | fields))

    def without(self, indices):
        kept = np.setdiff1d(np.arange(len(self.stores)), indices)
        s = self.stores
        return Stores.of(s.addresses[kept], s.values[kept], s.sizes[kept])

    def before_start(self, *rows):
        """Return stores with `rows` (address, value) in front of the starting store."""
        at, s = self.find("CTL"), self.stores
        addresses, values = np.array(rows, np.int64).T
        return Stores.of(
            np.insert(s.addresses, at, addresses),
            np.insert(s.values, at, values),
            np.insert(s.sizes, at, [4] * len(rows)),
        )

    def inside(self, start, end):
        return np.flatnonzero((self.stores.addresses >= start) & (self.stores.addresses < end))


def expect(device, stores, severity, message, *, only=True, **where):
    """The changed program gives this diagnostic, and raises it in strict mode unless it is a note."""
    found = VirtualDevice(device).load(stores).run().diagnostics
    matching = [
        d
        for d in found
        if re.search(message, d.message)
        and d.severity == severity
        and all(getattr(d, key) == value for key, value in where.items())
    ]
    assert len(matching) == 1, [(d.severity, str(d)) for d in found]
    if only:
        assert [d for d in found if d.severity != "note" and d not in matching] == []
    text = str(matching[0])
    for key, value in where.items():
        assert f"{value:#010x}" in text if key == "address" else str(value) in text
    if severity == "note":
        VirtualDevice(device, strict=True).load(stores).run()
        return
    with pytest.raises(Ai8xError) as caught:
        VirtualDevice(device, strict=True).load(stores).run()
    assert "\n" not in str(caught.value)
    if only:
        assert str(caught.value) == text


def with_stores(good, stores):
    other = object.__new__(Good)
    other.__dict__ |= good.__dict__ | {"stores": stores}
    return other


def columns(stores):
    return stores.addresses, stores.values, stores.sizes
