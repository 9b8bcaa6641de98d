"""Allocation of kernel memory: first-fit search for columns of the processors' memories, layer by layer.

Columns are represented as bits of integers. Only shapes matter, so that a placement can be verified without weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ai8x_tool.device import Device
from ai8x_tool.device.bits import bit_indices, ceil4, ceil_div, highest_bit, lowest_bit
from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_QUADRANT, QUADRANTS
from ai8x_tool.mapping.kernel_stream import StreamShape, stored_columns
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
EXTENSION = 4096
"""First column of the extra instances that only large kernel memories have."""
INSTANCE = 1024
PARALLEL = 4
"""Columns of an ordinary instance of kernel memory, and the number of instances that calcx4 reads in parallel."""


@dataclass(frozen=True)
class KernelPlacement:
    """Place of a layer's kernels, and the counts for registers.

    `offset` is the first column (the same in all processors), `length` the number of reserved columns. `duplicate_of`
    is the layer whose storage is shared.
    """

    offset: int
    length: int = 0
    count: int = 0
    output_count: int = 0
    duplicate_of: int | None = None


@dataclass(frozen=True, eq=False)
class KernelRequest:
    """The kernels of one layer. `quad`: they are spread over four quadrants.

    `weights` is None if the values are not known; `shares` is then the layer whose weights it uses.
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

    @property
    def active(self) -> list[int]:
        """The processors whose kernels are stored; in quad mode, their kernels are spread over the other quadrants."""
        return bit_indices(self.processors & 0xFFFF if self.quad else self.processors)

    @property
    def kind(self) -> tuple[object, ...]:
        """Key of layers that may share storage: order and distances of their kernels, and the first kernel."""
        shape = self.shape.in_first_instance() if self.shape.output_map else self.shape
        first = b"" if self.weights is None else self.weights[:1].tobytes()
        return self.processors, self.quad, self.calcx4, shape, self.weights is None, first

    def has_same_kernels(self, other: KernelRequest) -> bool:
        """Return whether both layers, which have the same `kind`, have equal kernels."""
        if self.weights is None or other.weights is None:
            return self.shares is not None and self.shares in (other.index, other.shares)
        return self.weights.shape == other.weights.shape and np.array_equal(self.weights, other.weights)


def reserve(request: KernelRequest) -> KernelPlacement:
    """Return the length and the counts of a layer's kernels; the offset is 0."""
    shape = request.shape
    bits, per_byte = abs(shape.bits), shape.per_byte
    passes = 1 if shape.flatten else shape.input_passes
    first = lowest_bit(shape.output_map) - (shape.lead if shape.output_passes > 1 else 0)
    span = 1 + highest_bit(shape.output_map) - first
    if shape.depthwise:
        kernels = passes
        count = kernels + shape.lead * passes
        output_count = (span + shape.lead) * passes
    else:
        kernels = span * shape.output_passes * passes
        count = output_count = kernels + shape.lead * shape.output_passes * passes
    if shape.flatten:
        per_output = shape.pixels * shape.input_passes
        missing = shape.output_passes * shape.output_map.bit_count() - shape.outputs
        kernels = (kernels - missing) * per_output
        count = output_count = (count - missing) * per_output
    surplus = kernels % per_byte * shape.area * (per_byte - 1)
    length = (kernels * shape.area * bits + surplus + 71) // 72
    if request.quad:
        length, count, output_count = (ceil_div(v, 4) for v in (length, count, output_count))
    return KernelPlacement(0, length, count, output_count)


class KernelAllocation:
    """The columns in use during allocation: those that the search takes into account (`reserved`), and `stored` ones.

    Both differ for kernels that are read in parallel (calcx4): the search does not use their actual columns.
    """

    def __init__(self, device: Device, start: int = 0) -> None:
        self.device = device
        self.start = start
        self.sizes = [device.kernel_columns(p) for p in range(PROCESSORS)]
        self.reserved = [0] * PROCESSORS
        self.stored = [0] * PROCESSORS
        self._parallel = False
        self._owners: list[tuple[int, dict[int, int]]] = []

    def place_all(self, requests: list[KernelRequest], *, deduplicate: bool) -> dict[int, KernelPlacement]:
        """Return the placement of each layer, by index; layers on all 64 processors are placed first.

        With `deduplicate`, equal kernels are stored once. Raises Ai8xError if the space does not suffice.
        """
        originals, copies = _originals(requests) if deduplicate else (requests, {})
        ordered = sorted(originals, key=lambda request: request.processors != _ALL)
        placed = {request.index: self._place(request) for request in ordered}
        for index, source in copies.items():
            placed[index] = replace(placed[source], duplicate_of=source)
        return placed

    def _place(self, request: KernelRequest) -> KernelPlacement:
        """Return the placement of a layer; if it stores more columns than it reserves, search for all of them."""
        placement, active = reserve(request), request.active
        if not active:
            return placement  # other rules report the map
        stored = stored_columns(request.shape, placement.length, len(active), quad=request.quad)
        offset = self._search(request, active, placement.length)
        ordinary, longest = not (request.quad or request.calcx4), max(map(int.bit_length, stored))
        beyond = longest > placement.length or self._parallel
        if ordinary and (offset is None or (beyond and not self._is_free(active, stored, offset))):
            offset = self._search(request, active, longest) if longest > placement.length else offset
        self._require_space(request, active, placement, offset)
        assert offset is not None
        placement = replace(placement, offset=offset)
        self._store(request, placement, stored)
        return placement

    def _is_free(self, active: list[int], stored: list[int], offset: int) -> bool:
        return not any(
            self.stored[p] & columns << offset or (columns << offset).bit_length() > self.sizes[p]
            for p, columns in zip(active, stored, strict=True)
        )

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

    def _store(self, request: KernelRequest, placement: KernelPlacement, stored: list[int]) -> None:
        shifted = {columns: columns << placement.offset for columns in set(stored)}
        searched = taken = {at: shifted[columns] for at, columns in zip(request.active, stored, strict=True)}
        if request.quad or request.calcx4:
            taken = _physical(request, placement.offset, dict(zip(request.active, stored, strict=True)))
            searched = searched if request.calcx4 else taken
            self._parallel |= request.calcx4
        for processor, columns in taken.items():
            if columns.bit_length() > self.sizes[processor]:
                self._require_space(request, [processor], placement, None)
            if self.stored[processor] & columns:
                self._refuse(request, processor, columns)
            self.stored[processor] |= columns
            self.reserved[processor] |= searched[processor]
        self._owners.append((request.index, taken))

    def _refuse(self, request: KernelRequest, processor: int, columns: int) -> None:
        common = self.stored[processor] & columns
        owner = max((index for index, taken in self._owners if taken.get(processor, 0) & common), default=0)
        require(constraint_kernel_conflict, KernelColumns(request.where, processor, lowest_bit(common), owner))

    # -- Search --------------------------------------------------------------------------------------------------------

    def _search(self, request: KernelRequest, active: list[int], length: int) -> int | None:
        """Return the first column of a place for the layer in all `active` processors; None if there is none."""
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
        used, limit = 0, min(self.sizes[p] for p in active)
        for processor in active:
            used |= self.reserved[processor]
        offset, window = ceil4(self.start), (1 << length) - 1
        while offset + length <= limit:
            taken = used >> offset & window
            if not taken:
                return offset
            offset += lowest_bit(taken)
            offset = ceil4(offset + lowest_bit(~(used >> offset)))
        return None

    def _forward_depthwise(self, active: list[int], length: int) -> int | None:
        """Return the first place in one memory instance; as in the vendor's tool, the test is one column too low."""
        offset = ceil4(self.start)
        while self.reserved[active[0]] >> offset & 1:
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
            first = max(offset, 0)
            taken = self.reserved[processor] >> first & (1 << max(0, offset + length - first)) - 1
            position += 1
            if taken:
                offset = ceil4(first + lowest_bit(taken) + 1)
                position = 0
            if offset + length > self.sizes[processor]:
                return None
        return offset

    def _backward(self, active: list[int], length: int, *, depthwise: bool) -> int | None:
        """Return the last place, searching from the end of the large memories downwards; None if there is none."""
        offset = self.device.kernels_large - 1
        while self.reserved[active[0]] >> offset & 1:
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
            taken = self.reserved[processor] >> offset - length + 1 & (1 << length) - 1
            position += 1
            if taken:
                offset = (offset - length + highest_bit(taken)) & ~3
                position = 0
                if offset + length > self.sizes[processor]:
                    return None
        return (offset - length + 1) & ~3


def _instance_mask(column: int) -> int:
    return 255 if column + 1 > EXTENSION - 1 else INSTANCE - 1


def _originals(requests: list[KernelRequest]) -> tuple[list[KernelRequest], dict[int, int]]:
    """Return the layers whose kernels are stored, and for each other layer the one whose kernels it shares."""
    originals: list[KernelRequest] = []
    kinds: dict[tuple[object, ...], list[KernelRequest]] = {}
    copies: dict[int, int] = {}
    for request in requests:
        alike = kinds.setdefault(request.kind, [])
        original = next((other for other in alike if request.has_same_kernels(other)), None)
        if original is not None:
            copies[request.index] = original.index
            continue
        originals.append(request)
        alike.append(request)
    return originals, copies


def _physical(request: KernelRequest, offset: int, stored: dict[int, int]) -> dict[int, int]:
    """Return the actual columns, by processor, of a layer at `offset` in quad mode or with calcx4."""
    taken: dict[int, int] = {}
    for processor, columns in stored.items():
        if request.calcx4:
            taken[processor] = _parallel_columns(request, processor, offset, columns)
            continue
        for quadrant in range(QUADRANTS):
            spread = sum(1 << column // QUADRANTS for column in bit_indices(columns) if column % QUADRANTS == quadrant)
            if spread:
                taken[processor + PROCESSORS_PER_QUADRANT * quadrant] = spread << offset
    return taken


def parallel_quarter(shape: StreamShape) -> int:
    """Return the number of columns of a layer with calcx4 in each of the instances that are read in parallel."""
    count = shape.input_passes * shape.outputs * 9 * abs(shape.bits) // (shape.area * 8)
    return ceil_div(count, PARALLEL)


def _parallel_columns(request: KernelRequest, processor: int, offset: int, columns: int) -> int:
    quarter, length = parallel_quarter(request.shape), columns.bit_length()
    limit = min(EXTENSION - offset, quarter * PARALLEL)
    needed = max(columns.bit_count(), length if length > quarter * PARALLEL else 0)
    require(constraint_calcx4_memory, ParallelColumns(request.where, processor, needed, limit))
    result = 0
    for block in range(PARALLEL):
        part = columns >> block * quarter & (1 << quarter) - 1
        result |= part << INSTANCE * block + offset // PARALLEL
    return result
