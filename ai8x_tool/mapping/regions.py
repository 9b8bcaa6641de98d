"""Regions of data memory that contain outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bit_indices
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.network.layer import Pair
from ai8x_tool.network.sizes import passes, processors_per_pass

LANES = 4
"""Bytes of a word; also the number of processors that share a data-memory instance."""
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OutputRegion:
    """Output of a layer in data memory. `offset` is in bytes inside each instance, `gap` in words.

    The network's results are these data times 2^`final_scale`.
    """

    processors: int
    channels: int
    size: Pair
    offset: int
    width: int
    gap: int
    final_scale: int = 0

    @property
    def pixels(self) -> int:
        """Number of pixels of one channel."""
        return self.size[0] * self.size[1]

    @property
    def bytes(self) -> int:
        """Number of bytes after unloading."""
        return self.channels * self.pixels * self.width // 8


@dataclass(frozen=True, eq=False)
class OutputSlot:
    """One data instance in one output pass: its channels, and the byte offsets of its words, one per pixel.

    `lanes` and `channels` correspond; 32-bit values of lane k are k words further on.
    """

    instance: int
    lanes: tuple[int, ...]
    channels: tuple[int, ...]
    offsets: Indices


def output_slots(region: OutputRegion) -> list[OutputSlot]:
    """Return the slots of all channels of the region, by output pass and instance."""
    rounds, per_pass = passes(region.channels), processors_per_pass(region.channels)
    used = bit_indices(region.processors)
    words = region.width // 8
    pixels = np.arange(region.pixels, dtype=np.int64)
    slots = []
    for e in range(rounds):
        offsets = region.offset + 4 * (pixels * rounds + e) * words * (region.gap + 1)
        for first in range(0, 64, LANES):
            ranks = [(used.index(p), p - first) for p in range(first, first + LANES) if p in used]
            present = [(e * per_pass + rank, lane) for rank, lane in ranks if e * per_pass + rank < region.channels]
            if present:
                channels, lanes = zip(*present, strict=True)
                slots.append(OutputSlot(first // LANES, lanes, channels, offsets))
    return slots


def slot_words(region: OutputRegion, slot: OutputSlot) -> Indices:
    """Return the byte offsets of all words of the slot: (pixels, 1) for 8-bit, (pixels, lanes) for 32-bit values."""
    count = 1 if region.width == 8 else len(slot.lanes)
    offsets: Indices = slot.offsets[:, None] + 4 * np.arange(count)
    return offsets


def layer_region(placed: PlacedLayer) -> OutputRegion:
    """Return the region of a layer's output."""
    layer = placed.layer
    return OutputRegion(
        placed.output_map,
        layer.channels_out,
        layer.out_size,
        placed.out_offset,
        layer.output_width,
        placed.write_gap,
        layer.final_scale,
    )
