"""The stores of a program, and of golden cases, in the order in which they are made."""

from __future__ import annotations

import json

import numpy as np

from ai8x_tool.device import find_device
from ai8x_tool.device.registers import FAST_FIFO_DATA, FIFO_DATA
from ai8x_tool.device.stores import Stores
from ai8x_tool.lowering import Write


def weight_stores(program):
    """spec: memory, section 5: a byte that sets the column, then words."""
    for block in program.kernels:
        if program.options.express:
            yield block.address | 1, 1, 1
        for i, word in enumerate(block.words.tolist()):
            yield block.address + 4 * i, word, 4


def bias_stores(program):
    device = program.mapping.device
    for quadrant, values in sorted(program.bias.items()):
        for i, value in enumerate(values):
            yield device.quadrant(device.addresses.bias, quadrant) + 4 * i, value, 4


def input_stores(program):
    """spec: memory, section 6: instances one after the other, FIFOs in turns."""
    blocks, device = program.inputs, program.mapping.device
    if program.mapping.options.fast_fifo:
        yield from ((FAST_FIFO_DATA, word, 4) for word in blocks[0].words.tolist())
    elif program.mapping.options.fifo:
        ports = [device.base + FIFO_DATA + 4 * block.name for block in blocks]
        for words in zip(*(block.words.tolist() for block in blocks), strict=True):
            yield from ((port, word, 4) for port, word in zip(ports, words, strict=True))
    else:
        for block in blocks:
            yield from ((block.address + 4 * i, word, 4) for i, word in enumerate(block.words.tolist()))


def register_stores(steps):
    return [(step.address, step.value, 4) for step in steps if isinstance(step, Write)]


def stores_of(program):
    """Return what `program` stores; input follows the start if it comes through a FIFO."""
    start = register_stores([*program.start, *program.go])
    data = list(input_stores(program))
    tail = [*start, *data] if program.mapping.options.fifo else [*data, *start]
    prepare = [*register_stores(program.init), *weight_stores(program), *bias_stores(program)]
    rows = [*prepare, *register_stores(program.configure), *tail]
    return Stores.of(*np.array(rows, np.int64).T)


def golden_stores(folder):
    """Return (device, stores, arrays) of the golden case in `folder`."""
    arrays = np.load(folder / "golden.npz")
    info = json.loads((folder / "case.json").read_text())
    stores = Stores.of(arrays["addr"], arrays["value"], arrays["width"])
    return find_device(info["device"]), stores, arrays


def mismatches(device, arrays):
    """Return how many known answers of a golden case `device` does not hold."""
    if "out_addr" not in arrays:
        return 0
    different = (device.words(arrays["out_addr"]) ^ arrays["out_value"]) & arrays["out_mask"]
    return int(np.count_nonzero(different))


def replaced(stores, index, value):
    """Return `stores` with another value at `index`."""
    values = stores.values.copy()
    values[index] = value
    return Stores.of(stores.addresses, values, stores.sizes)
