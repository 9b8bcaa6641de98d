"""The address map: registers and memories by address."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, QUADRANTS, Device
from ai8x_tool.device.registers import (
    AON_CONTROL,
    FAST_FIFO_CONTROL,
    FAST_FIFO_DATA,
    FIFO_CONTROL,
    FIFO_DATA,
    registers,
)

Array = npt.NDArray[Any]

INSTANCES_PER_QUADRANT = 4
_WORD = 4


class AddressBlock(IntEnum):
    """Kinds of register or memory blocks."""

    NOTHING = 0
    REGISTER = 1
    BIAS = 2
    TRAM = 3
    KERNEL = 4
    DATA = 5
    COMMON = 6
    FIFO_DATA = 7
    FAST_FIFO_DATA = 8


@dataclass(frozen=True)
class Region:
    """Addresses from `start` to before `end`; `quadrant` is −1 for blocks shared by all quadrants."""

    start: int
    end: int
    block: AddressBlock
    quadrant: int


@cache
def regions(device: Device) -> tuple[Region, ...]:
    """Return the occupied address ranges of `device`, ascending and without overlap."""
    at = device.addresses
    found = [
        Region(FAST_FIFO_CONTROL, FAST_FIFO_DATA, AddressBlock.COMMON, -1),
        Region(FAST_FIFO_DATA, FAST_FIFO_DATA + _WORD, AddressBlock.FAST_FIFO_DATA, -1),
        Region(device.base + FIFO_CONTROL, device.base + FIFO_DATA, AddressBlock.COMMON, -1),
        Region(device.base + FIFO_DATA, device.base + FIFO_DATA + _WORD * QUADRANTS, AddressBlock.FIFO_DATA, -1),
        Region(device.base + AON_CONTROL, device.base + AON_CONTROL + _WORD, AddressBlock.COMMON, -1),
    ]
    for quadrant in range(QUADRANTS):
        kernels = at.kernel + PROCESSORS_PER_QUADRANT * at.kernel_stride
        parts = (
            (at.control, at.bias, AddressBlock.REGISTER),
            (at.bias, at.bias + 4 * device.bias_size, AddressBlock.BIAS),
            (at.tram, at.tram + PROCESSORS_PER_QUADRANT * at.tram_stride, AddressBlock.TRAM),
            (at.kernel, kernels, AddressBlock.KERNEL),
            (at.data, at.data + INSTANCES_PER_QUADRANT * at.instance_stride, AddressBlock.DATA),
        )
        for start, end, block in parts:
            found.append(Region(device.quadrant(start, quadrant), device.quadrant(end, quadrant), block, quadrant))
    return tuple(sorted(found, key=lambda region: region.start))


@cache
def _table(device: Device) -> tuple[Array, ...]:
    found = regions(device)
    return tuple(np.array([getattr(r, key) for r in found]) for key in ("start", "end", "block", "quadrant"))


def classify(device: Device, addresses: Array) -> tuple[Array, Array, Array]:
    """Return (block, quadrant, byte offset inside the region) for each address."""
    starts, ends, blocks, quadrants = _table(device)
    wide = addresses.astype(np.int64)
    index = np.maximum(np.searchsorted(starts, wide, side="right") - 1, 0)
    inside = (wide >= starts[index]) & (wide < ends[index])
    return np.where(inside, blocks[index], 0), np.where(inside, quadrants[index], -1), wide - starts[index]


def locate(device: Device, address: int) -> tuple[AddressBlock, int, int]:
    """Return (block, quadrant, byte offset inside the region) of one address, as :func:`classify` does."""
    found = regions(device)
    region = found[max(bisect_right(found, address, key=lambda region: region.start) - 1, 0)]
    inside = region.start <= address < region.end
    return region.block if inside else AddressBlock(0), region.quadrant if inside else -1, address - region.start


@dataclass(frozen=True)
class RegisterPlace:
    """The name of a register and its hardware layer (0 if it does not belong to a layer)."""

    name: str
    layer: int


@cache
def _register_offsets(device: Device) -> dict[int, RegisterPlace]:
    places = {}
    start = device.quadrant(device.addresses.control, 0)
    for name, register in registers(device).items():
        for layer in range(register.layers):
            places[register.address(device, 0, layer) - start] = RegisterPlace(name, layer)
    return places


def find_register(device: Device, offset: int) -> RegisterPlace | None:
    """Return the register at byte `offset` of a quadrant's control block; None if there is none."""
    return _register_offsets(device).get(offset)


def segments(device: Device, blocks: Array, quadrants: Array, offsets: Array, sizes: Array) -> Iterator[slice]:
    """Yield slices of consecutive stores to one block of one quadrant.

    Stores to kernel memory are also split by processor, and before each byte store.
    """
    kernel = blocks == AddressBlock.KERNEL
    processor = np.where(kernel, offsets // device.addresses.kernel_stride, 0)
    key = (blocks.astype(np.int64) * QUADRANTS + quadrants) * PROCESSORS_PER_QUADRANT + processor
    first = np.ones(len(key), bool)
    first[1:] = (key[1:] != key[:-1]) | (kernel[1:] & (sizes[1:] == 1))
    starts = np.flatnonzero(first).tolist()
    for start, end in zip(starts, [*starts[1:], len(key)], strict=True):
        yield slice(start, end)
