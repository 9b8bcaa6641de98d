"""The known-answer table: the expected contents of data memory after the run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import Device
from ai8x_tool.lowering.steps import AnswerBlock, Words
from ai8x_tool.mapping.regions import LANES, Indices, OutputRegion, OutputSlot, output_slots, slot_words


def _slot_answers(device: Device, region: OutputRegion, slot: OutputSlot, tensor: Words) -> Indices:
    """Return the rows (mask, address, value) of one slot; `tensor` is (channels, pixels)."""
    base = device.instance(slot.instance * LANES)
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

    Of these, the first `limit` + 1 words are kept (one more than the option says, for compatibility); None keeps all.
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
