"""Placement of kernels in the processors' kernel memories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import Device
from ai8x_tool.device.bits import bits_of, ceil4, ceil_div, highest, lowest, ones
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, PROCESSORS_PER_QUADRANT
from ai8x_tool.mapping.kernel_stream import Bytes, Columns, StreamShape, empty_streams, layer_streams
from ai8x_tool.mapping.rules.memory_rules import (
    KernelColumns,
    KernelSpace,
    ParallelColumns,
    constraint_calcx4_memory,
    constraint_kernel_conflict,
    constraint_kernel_memory,
)
from ai8x_tool.network.layer import IntArray
from ai8x_tool.rule import require

_ALL = (1 << PROCESSORS) - 1
_EXTENSION = 4096
"""First column of the extra instances that only large kernel memories have."""


@dataclass(frozen=True)
class KernelPlacement:
    """Where a layer's kernels start, and the counts that go into registers.

    `offset` is the first column (the same in all processors), `length` the reserved columns. `duplicate_of` is the
    layer whose storage is shared.
    """

    offset: int
    length: int = 0
    count: int = 0
    output_count: int = 0
    duplicate_of: int | None = None


@dataclass(frozen=True, eq=False)
class KernelRequest:
    """One layer that needs kernel memory. `quad`: kernels are spread over four quadrants.

    `weights` is None if they are not known; `shares` is the layer whose weights are used then.
    """

    index: int
    where: str
    processors: int
    shape: StreamShape
    weights: IntArray | None
    shares: int | None = None
    quad: bool = False
    calcx4: bool = False
    mixed_x4: bool = False

    def same_kernels(self, other: KernelRequest) -> bool:
        """True if both layers can share storage: equal kernels, in the same order and at the same distances."""
        alike = self.processors == other.processors and (self.quad, self.calcx4) == (other.quad, other.calcx4)
        if not alike or self.shape.in_first_instance() != other.shape.in_first_instance():
            return False
        if self.weights is None or other.weights is None:
            return self.shares is not None and self.shares in (other.index, other.shares)
        return self.weights.shape == other.weights.shape and np.array_equal(self.weights, other.weights)


def reserve(request: KernelRequest) -> KernelPlacement:
    """Return length and counts of a layer, without a place."""
    shape = request.shape
    bits, per_byte = abs(shape.bits), shape.per_byte
    passes = 1 if shape.flatten else shape.input_passes
    first = lowest(shape.output_map) - (shape.lead if shape.output_passes > 1 else 0)
    span = 1 + highest(shape.output_map) - first
    if shape.depthwise:
        kernels = passes
        count = kernels + shape.lead * passes
        output_count = (span + shape.lead) * passes
    else:
        kernels = span * shape.output_passes * passes
        count = output_count = kernels + shape.lead * shape.output_passes * passes
    if shape.flatten:
        per_output = shape.pixels * shape.input_passes
        missing = shape.output_passes * ones(shape.output_map) - shape.outputs
        kernels = (kernels - missing) * per_output
        count = output_count = (count - missing) * per_output
    surplus = kernels % per_byte * shape.area * (per_byte - 1)
    length = (kernels * shape.area * bits + surplus + 71) // 72
    if request.quad:
        length, count, output_count = (ceil_div(v, 4) for v in (length, count, output_count))
    return KernelPlacement(0, length, count, output_count)


class KernelMemory:
    """The kernel memories of all processors while layers are placed one after the other."""

    def __init__(self, device: Device, start: int = 0) -> None:
        self.device = device
        self.start = start
        columns = device.kernels_large
        self.sizes = np.array([device.kernel_columns(p) for p in range(PROCESSORS)])
        self.reserved = np.zeros((PROCESSORS, columns), bool)
        self.owner = np.full((PROCESSORS, columns), -1, np.int16)
        self.data: Bytes = np.zeros((PROCESSORS, columns, COLUMN_BYTES), np.uint8)

    @property
    def loaded(self) -> npt.NDArray[np.bool_]:
        """(processor, column): whether the column holds data."""
        return np.asarray(self.owner >= 0)

    def place_all(self, requests: list[KernelRequest], *, deduplicate: bool) -> dict[int, KernelPlacement]:
        """Place all layers: those on all 64 processors first, then the others, in index order."""
        originals: list[KernelRequest] = []
        copies: dict[int, int] = {}
        for request in requests:
            original = next((o for o in originals if deduplicate and request.same_kernels(o)), None)
            if original is None:
                originals.append(request)
            else:
                copies[request.index] = original.index
        ordered = sorted(originals, key=lambda request: request.processors != _ALL)
        placed = {request.index: self._place(request) for request in ordered}
        for index, source in copies.items():
            placed[index] = replace(placed[source], duplicate_of=source)
        return placed

    def _place(self, request: KernelRequest) -> KernelPlacement:
        placement = reserve(request)
        active = bits_of(request.processors & 0xFFFF if request.quad else request.processors)
        offset = self._search(request, active, placement.length)
        self._require_space(request, active, placement, offset)
        assert offset is not None
        placement = replace(placement, offset=offset)
        self._store(request, active, placement)
        return placement

    def _require_space(
        self, request: KernelRequest, active: list[int], placement: KernelPlacement, offset: int | None
    ) -> None:
        space = KernelSpace(
            where=request.where,
            processors=active,
            length=placement.length,
            kernels=placement.count,
            area=request.shape.area,
            bits=abs(request.shape.bits),
            offset=offset,
            reserved=self.reserved,
            sizes=self.sizes,
        )
        require(constraint_kernel_memory, space)

    def _search(self, request: KernelRequest, active: list[int], length: int) -> int | None:
        """Return the first column of a place for the layer in all `active` processors, None if there is none."""
        depthwise = request.shape.depthwise
        large = self.device.large_kernel_memories and all(p % PROCESSORS_PER_QUADRANT == 0 for p in active)
        if large and not request.mixed_x4 and (not depthwise or length <= 256):
            offset = self._backward(active, length, depthwise=depthwise)
            if offset is not None:
                return offset
        if depthwise and self.device.large_kernel_memories:
            found = self._forward_depthwise(active, length)
        else:
            found = self._forward(active, length)
        return found if found is None else ceil4(4 * found if request.mixed_x4 else found)

    def _forward(self, active: list[int], length: int) -> int | None:
        used: npt.NDArray[np.bool_] = np.asarray(self.reserved[active].any(axis=0))
        limit = int(self.sizes[active].min())
        offset = ceil4(self.start)
        while offset + length <= limit:
            taken = used[offset : offset + length]
            if not taken.any():
                return offset
            offset = ceil4(offset + int(taken.argmax()) + 1)
        return None

    def _forward_depthwise(self, active: list[int], length: int) -> int | None:
        """Find the first place inside one memory instance; the test is one column low, as in the reference."""
        offset = ceil4(self.start)
        while self.reserved[active[0], offset]:
            offset += 4
            if offset + length > self.sizes[active[0]]:
                return None
        position = 0
        while position < len(active):
            processor = active[position]
            mask = _instance_mask(offset + 1)
            if (offset + 1) & ~mask != (offset + length) & ~mask:
                offset = ((offset + mask) & ~mask) - 1
                mask = _instance_mask(offset + 1)
                if (offset + 1) & ~mask != (offset + length) & ~mask:
                    return None
            taken = self.reserved[processor, max(offset, 0) : offset + length]
            position += 1
            if taken.any():
                offset = ceil4(max(offset, 0) + int(taken.argmax()) + 1)
                position = 0
            if offset + length > self.sizes[processor]:
                return None
        return offset

    def _backward(self, active: list[int], length: int, *, depthwise: bool) -> int | None:
        """Search from the end of the large memories downwards; None if there is no place."""
        offset = self.device.kernels_large - 1
        while self.reserved[active[0], offset]:
            offset -= 4
            if offset < 0:
                return None
        position = 0
        while position < len(active):
            processor = active[position]
            if depthwise:
                mask = _instance_mask(offset - 1)
                if (offset - 1) & ~mask != (offset - length) & ~mask:
                    offset &= ~mask
            if offset - length + 1 < 0:
                return None
            taken = self.reserved[processor, offset - length + 1 : offset + 1][::-1]
            position += 1
            if taken.any():
                offset = (offset - int(taken.argmax()) - 1) & ~3
                position = 0
                if offset + length > self.sizes[processor]:
                    return None
        return (offset - length + 1) & ~3

    def _store(self, request: KernelRequest, active: list[int], placement: KernelPlacement) -> None:
        length = placement.length
        if request.weights is None:
            streams = empty_streams(request.shape, len(active))
        else:
            streams = layer_streams(request.weights, request.shape, len(active))
        for processor, (runs, column, filled) in zip(active, streams, strict=True):
            end = column + (1 if filled else 0)
            if not request.quad:
                tail = length + request.shape.lead - end
                if tail > 0:
                    runs.append(Columns(end, np.zeros((tail, COLUMN_BYTES), np.uint8)))
                    end += tail
                length = end if request.shape.flatten else length
            for run in runs:
                self._write(request, processor, placement, run)

    def _write(self, request: KernelRequest, processor: int, placement: KernelPlacement, run: Columns) -> None:
        relative = np.arange(run.start, run.start + len(run.data))
        processors = np.full(len(relative), processor)
        columns = placement.offset + relative
        logical = columns
        if request.quad:
            processors = processor + PROCESSORS_PER_QUADRANT * (relative % 4)
            columns = logical = placement.offset + relative // 4
        elif request.calcx4:
            columns = self._x4_columns(request, processor, placement.offset, relative)
        if (columns >= self.sizes[processors]).any():
            self._require_space(request, [processor], placement, None)
        owners = self.owner[processors, columns]
        require(constraint_kernel_conflict, KernelColumns(request.where, processor, columns, owners))
        self.owner[processors, columns] = request.index
        self.data[processors, columns] = run.data
        self.reserved[processors, logical] = True

    def _x4_columns(
        self, request: KernelRequest, processor: int, offset: int, relative: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        shape = request.shape
        count = shape.input_passes * shape.outputs * COLUMN_BYTES * abs(shape.bits) // (shape.area * 8)
        block, inside = np.divmod(relative, (count + 3) // 4)
        limit = min(_EXTENSION - offset, (count + 3) // 4 * 4)
        needed = max(len(relative), int(relative.max(initial=-1)) + 1 if (block > 3).any() else 0)
        require(constraint_calcx4_memory, ParallelColumns(request.where, processor, needed, limit))
        return 1024 * block + inside + offset // 4


def _instance_mask(column: int) -> int:
    return 255 if column + 1 > _EXTENSION - 1 else 1023
