"""Conversion of a program to the stores that its C code performs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import registers as tables
from ai8x_tool.device.facts import Device
from ai8x_tool.device.stores import Stores
from ai8x_tool.lowering.steps import ClearTram, InputBlock, KernelBlock, Step, Write

Array = npt.NDArray[Any]


def step_stores(steps: Sequence[Step]) -> Stores:
    """Return the stores of register writes and of cleared memory; waits store nothing."""
    addresses: list[int] = []
    values: list[int] = []
    for step in steps:
        if isinstance(step, Write):
            addresses.append(step.address)
            values.append(step.value)
        elif isinstance(step, ClearTram):
            addresses += range(step.address, step.address + step.size, 4)
            values += [0] * (step.size // 4)
    return Stores.of(addresses, values, [4] * len(addresses))


def kernel_stores(blocks: Sequence[KernelBlock], *, express: bool) -> Stores:
    """Return the stores that load the kernels; in express mode a byte that selects the column precedes each block."""
    parts = []
    for block in blocks:
        if express:
            parts.append(Stores.of([block.address | 1], [1], [1]))
        parts.append(_block(block.address, block.words))
    return Stores.join(parts)


def bias_stores(device: Device, bias: dict[int, list[int]]) -> Stores:
    """Return the stores that load the biases, quadrant by quadrant."""
    base = device.addresses.bias
    return Stores.join([_block(device.quadrant(base, q), np.array(values)) for q, values in sorted(bias.items())])


def input_stores(device: Device, blocks: Sequence[InputBlock], *, fifo: bool, fast: bool) -> Stores:
    """Return the stores that load the input: instance by instance, or alternating between the FIFOs."""
    if not fifo:
        return Stores.join([_block(block.address, block.words) for block in blocks])
    if fast:
        words = blocks[0].words
        return Stores.of(np.full(len(words), tables.FAST_FIFO_DATA), words, np.full(len(words), 4))
    ports = [device.base + tables.FIFO_DATA + 4 * block.name for block in blocks]
    values = np.stack([block.words for block in blocks], axis=1)
    return Stores.of(np.tile(ports, len(values)), values.reshape(-1), np.full(values.size, 4))


def _block(address: int, words: Array) -> Stores:
    values = np.asarray(words, np.int64) & 0xFFFF_FFFF
    return Stores.of(address + 4 * np.arange(len(values)), values, np.full(len(values), 4))
