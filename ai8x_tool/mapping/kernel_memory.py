"""The contents of the processors' kernel memories."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import Device
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, PROCESSORS_PER_QUADRANT, QUADRANTS
from ai8x_tool.mapping.kernel_allocation import (
    INSTANCE,
    PARALLEL,
    KernelAllocation,
    KernelPlacement,
    KernelRequest,
    parallel_quarter,
)
from ai8x_tool.mapping.kernel_stream import Bytes, Columns, layer_streams, stored_columns

__all__ = ["KernelMemory", "KernelPlacement", "KernelRequest"]


class KernelMemory:
    """The kernel memories of all processors: `data` is (processor, column, 9), `loaded` marks the columns in use.

    Kernels whose values are not known are zeros.
    """

    def __init__(self, device: Device, start: int = 0) -> None:
        self.allocation = KernelAllocation(device, start)
        shape = PROCESSORS, device.kernels_large
        self.loaded: npt.NDArray[np.bool_] = np.zeros(shape, bool)
        self.data: Bytes = np.zeros((*shape, COLUMN_BYTES), np.uint8)

    def place_all(self, requests: list[KernelRequest], *, deduplicate: bool) -> dict[int, KernelPlacement]:
        """Store the kernels of all layers and return their placements, by index.

        Raises Ai8xError if the space does not suffice.
        """
        placed = self.allocation.place_all(requests, deduplicate=deduplicate)
        for request in requests:
            if placed[request.index].duplicate_of is None:
                self._store(request, placed[request.index])
        return placed

    def _store(self, request: KernelRequest, placement: KernelPlacement) -> None:
        active, shape = request.active, request.shape
        columns = stored_columns(shape, placement.length, len(active), quad=request.quad)
        for held in set(columns):
            processors = np.array([p for p, own in zip(active, columns, strict=True) if own == held])[:, None]
            self.loaded[self._places(request, placement.offset, processors, _numbers(held))] = True
        if request.weights is None:
            return
        for ranks, runs in layer_streams(request.weights, shape, len(active)):
            for run in runs:
                self._write(request, placement, np.array(active)[ranks], run)

    def _write(
        self, request: KernelRequest, placement: KernelPlacement, processors: npt.NDArray[np.int64], run: Columns
    ) -> None:
        relative = np.arange(run.start, run.start + run.data.shape[1])
        self.data[self._places(request, placement.offset, processors[:, None], relative)] = run.data

    def _places(
        self,
        request: KernelRequest,
        offset: int,
        processors: npt.NDArray[np.int64],
        relative: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the processors and columns of the `relative` columns of a layer in all `processors`."""
        if request.quad:
            return processors + PROCESSORS_PER_QUADRANT * (relative % QUADRANTS), offset + relative // QUADRANTS
        if request.calcx4:
            block, inside = np.divmod(relative, parallel_quarter(request.shape))
            return processors, INSTANCE * block + inside + offset // PARALLEL
        return processors, offset + relative


def _numbers(columns: int) -> npt.NDArray[np.int64]:
    """Return the indices of the 1 bits."""
    size = columns.bit_length() + 7 >> 3
    bits = np.unpackbits(np.frombuffer(columns.to_bytes(size, "little"), np.uint8), bitorder="little")
    return np.flatnonzero(bits)
