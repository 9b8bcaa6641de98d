"""Where output elements lie in data memory, and the known-answer table. spec: memory, sections 7.1 and 7.2."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import Device
from ai8x_tool.device.bits import bits_of
from ai8x_tool.frontend.yaml.description import Pair
from ai8x_tool.lowering.steps import AnswerBlock, Words
from ai8x_tool.network.dimensions import passes, processors_per_pass

_LANES = 4
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OutputRegion:
    """Data that a layer leaves in data memory. `offset` is in bytes inside each instance, `gap` in words.

    The network's answers are these data times 2^`final_scale`.
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
        """Pixels of one channel."""
        return self.size[0] * self.size[1]

    @property
    def bytes(self) -> int:
        """Bytes after unloading."""
        return self.channels * self.pixels * self.width // 8


@dataclass(frozen=True, eq=False)
class OutputSlot:
    """One data instance in one output pass: its channels and the byte offsets of its words, one per pixel.

    `lanes` and `channels` correspond; 32-bit values of lane k lie k words further.
    """

    instance: int
    lanes: tuple[int, ...]
    channels: tuple[int, ...]
    offsets: Indices


def output_slots(region: OutputRegion) -> list[OutputSlot]:
    """Return where every channel of the region lies, by output pass and instance."""
    rounds, per_pass = passes(region.channels), processors_per_pass(region.channels)
    used = bits_of(region.processors)
    words = region.width // 8
    pixels = np.arange(region.pixels, dtype=np.int64)
    slots = []
    for e in range(rounds):
        offsets = region.offset + 4 * (pixels * rounds + e) * words * (region.gap + 1)
        for first in range(0, 64, _LANES):
            ranks = [(used.index(p), p - first) for p in range(first, first + _LANES) if p in used]
            present = [(e * per_pass + rank, lane) for rank, lane in ranks if e * per_pass + rank < region.channels]
            if present:
                channels, lanes = zip(*present, strict=True)
                slots.append(OutputSlot(first // _LANES, lanes, channels, offsets))
    return slots


def slot_words(region: OutputRegion, slot: OutputSlot) -> Indices:
    """Return the byte offsets of all words the slot occupies: (pixels, 1) for 8 bit, (pixels, lanes) for 32 bit."""
    count = 1 if region.width == 8 else len(slot.lanes)
    offsets: Indices = slot.offsets[:, None] + 4 * np.arange(count)
    return offsets


def _slot_answers(device: Device, region: OutputRegion, slot: OutputSlot, tensor: Words) -> Indices:
    """Return rows of (mask, address, value) for one slot; `tensor` is (channels, pixels)."""
    base = device.instance(slot.instance * _LANES)
    addresses = base + slot_words(region, slot)
    if region.width == 8:
        mask = (1 << 8 * len(slot.lanes)) - 1 << 8 * slot.lanes[0] & 0xFFFF_FFFF
        values = np.zeros(region.pixels, np.int64)
        for lane, channel in zip(slot.lanes, slot.channels, strict=True):
            values |= (tensor[channel].astype(np.int64) & 0xFF) << 8 * lane
        values = (values & mask)[:, None]
    else:
        mask = 0xFFFF_FFFF
        by_lane = dict(zip(slot.lanes, slot.channels, strict=True))
        zero = np.zeros(region.pixels, np.int64)
        lanes = [tensor[by_lane[k]].astype(np.int64) if k in by_lane else zero for k in range(addresses.shape[1])]
        values = np.stack(lanes, axis=1) & 0xFFFF_FFFF
    rows = np.empty((addresses.size, 3), np.int64)
    rows[:, 0], rows[:, 1], rows[:, 2] = mask, addresses.reshape(-1), values.reshape(-1)
    return rows


def answer_blocks(
    device: Device, regions: list[tuple[OutputRegion, npt.NDArray[Any]]], limit: int | None
) -> list[AnswerBlock]:
    """Return the known-answer table for `regions` with their tensors (channels, rows, columns).

    `limit` words (and one more, as the reference does) are kept.
    """
    rows = np.concatenate(
        [
            _slot_answers(device, region, slot, tensor.reshape(region.channels, -1))
            for region, tensor in regions
            for slot in output_slots(region)
        ]
        or [np.empty((0, 3), np.int64)]
    )
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    if limit is not None:
        rows = rows[: limit + 1]
    if not len(rows):
        return []
    breaks = (np.diff(rows[:, 0]) != 0) | (np.diff(rows[:, 1]) != 4)
    starts = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(rows)]
    return [AnswerBlock(int(rows[a, 1]), int(rows[a, 0]), rows[a:b, 2].astype(np.uint32)) for a, b in pairwise(starts)]
