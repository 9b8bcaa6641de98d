"""Entries of ``cnn_unload()`` for the template. The layout is described in docs/accelerator/memory-layout.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai8x_tool.device import Device
from ai8x_tool.device import registers as tables
from ai8x_tool.mapping.regions import OutputRegion, OutputSlot, output_slots
from ai8x_tool.network.sizes import passes

_MOST_CALLS = 16
"""Up to this number of output blocks, calls take less flash than a table."""

_LEAST_BLOCKS_OF_RUN = 2
"""From this average number of blocks per run, calls for runs take less flash than a table of blocks."""

_ALL_LANES = 0xF
_INSTANCES_PER_QUADRANT = 4
_PIXELS_PER_WORD = 4
_MOST_SCALE_OF_16_BITS = 8
_MOST_SCALE = 31
"""With larger scales, every 32-bit result except 0 would be saturated, or 0 for negative scales."""


@dataclass(frozen=True)
class UnloadedRegion:
    """Position of a region in the output buffer: its first byte, the width of an element in bits, and the scale."""

    region: OutputRegion
    start: int
    width: int
    scale: int

    @property
    def elements(self) -> int:
        """Number of values."""
        return self.region.channels * self.region.pixels

    @property
    def collectable(self) -> bool:
        """Whether the byte collector can deliver the region, which it does in unscaled words of four pixels."""
        region = self.region
        whole = region.pixels % _PIXELS_PER_WORD == 0 or region.channels == 1
        return self.width == region.width == 8 and region.pixels >= _PIXELS_PER_WORD and whole


def placements(regions: tuple[OutputRegion, ...], *, scale_output: bool) -> list[UnloadedRegion]:
    """Return the position of every region. Without final scales, outputs follow each other without padding."""
    aligned = any(region.final_scale for region in regions)
    result, start = [], 0
    for region in regions:
        scale = max(-_MOST_SCALE, min(_MOST_SCALE, region.final_scale)) if scale_output else 0
        width = region.width
        if width == 8 and scale:
            width = 16 if scale <= _MOST_SCALE_OF_16_BITS else 32
        start = _whole_words(start) * 4 if aligned else start
        result.append(UnloadedRegion(region, start, width, scale))
        start += region.channels * region.pixels * width // 8
    return result


def unloaded_words(placed: list[UnloadedRegion]) -> int:
    """Return the size of the output buffer in words."""
    return max((_whole_words(p.start + p.elements * p.width // 8) for p in placed), default=0)


def _whole_words(count: int) -> int:
    return (count + 3) // 4


def unload_values(device: Device, placed: list[UnloadedRegion], *, mlator: bool) -> dict[str, Any]:
    """Return the template's values: blocks that the CPU copies, channels that the byte collector delivers."""
    scaled = any(p.scale for p in placed)
    as_bytes = scaled or any(p.width == 8 for p in placed)
    blocks: list[dict[str, int]] = []
    channels: list[dict[str, int]] = []
    for placement in placed:
        for slot in output_slots(placement.region):
            if mlator and placement.collectable:
                channels += _collected(device, placement.region, slot, placement.start)
            else:
                blocks.append(_block(device, placement, slot, as_bytes=as_bytes))
    control = tables.registers(device)
    many = len(blocks) > _MOST_CALLS and not scaled
    runs = _runs(blocks, device.addresses.instance_stride, 16 if as_bytes else 4) if many else []
    in_runs = _LEAST_BLOCKS_OF_RUN * len(runs) <= len(blocks)
    return {
        "unload": blocks,
        "unload_runs": runs if in_runs else [],
        "instance_stride": device.addresses.instance_stride,
        "collected": channels,
        "collector": {name: control[name].offset - control["CTL"].offset for name in ("WPTR", "LCTL2", "MLAT")},
        "unload_table": (many and not in_runs) or (scaled and bool(blocks)),
        "unload_bytes": as_bytes,
        "unload_words": any(p.region.width == 32 for p in placed),
        "unload_scaled": scaled,
    }


def output_values(placed: list[UnloadedRegion]) -> list[dict[str, int]]:
    """Return the position and scale of every output for programs that use them; empty without final scales."""
    if not any(p.region.final_scale for p in placed):
        return []
    return [
        {"elements": p.elements, "bits": p.width, "word": p.start // 4, "scale": p.region.final_scale} for p in placed
    ]


def _step(region: OutputRegion) -> int:
    """Return the number of words from one pixel to the next."""
    return passes(region.channels) * region.width // 8 * (region.gap + 1)


def _block(device: Device, placement: UnloadedRegion, slot: OutputSlot, *, as_bytes: bool) -> dict[str, int]:
    region, size = placement.region, placement.width // 8
    target = placement.start + slot.channels[0] * region.pixels * size
    return {
        "source": device.instance(4 * slot.instance) + int(slot.offsets[0]),
        "target": target if as_bytes else target // 4,
        "pixels": region.pixels,
        "step": _step(region),
        "lanes": sum(1 << lane for lane in slot.lanes),
        "wide": int(region.width == 32),
        "size": size,
        "scale": placement.scale,
    }


def _runs(blocks: list[dict[str, int]], stride: int, wide: int) -> list[dict[str, int]]:
    """Return runs of blocks that are consecutive in memories and buffer, with their `count`.

    `wide` is the number of units of the buffer that four 32-bit values take.
    """
    runs: list[dict[str, int]] = []
    for block in blocks:
        last = runs[-1] if runs else {"lanes": 0}
        if last["lanes"] == _ALL_LANES:
            units = wide if block["wide"] else 4
            places = {
                "source": last["source"] + last["count"] * stride,
                "target": last["target"] + last["count"] * units * last["pixels"],
            }
            if last | places | {"count": 1} == block | {"count": 1}:
                last["count"] += 1
                continue
        runs.append(block | {"count": 1})
    return runs


def _collected(device: Device, region: OutputRegion, slot: OutputSlot, start: int) -> list[dict[str, int]]:
    control = tables.registers(device)
    quadrant, instance = divmod(slot.instance, _INSTANCES_PER_QUADRANT)
    word = instance << device.write_instance_shift | int(slot.offsets[0]) // 4
    return [
        {
            "control": control["CTL"].address(device, quadrant),
            "source": word,
            "increment": control["LCTL2"].encode({"write_increment": _step(region) - 1}),
            "select": control["CTL"].encode({"clock": 1, "mlator": 1, "mlator_lane": lane}),
            "target": start + channel * region.pixels,
            "pixels": region.pixels,
        }
        for lane, channel in zip(slot.lanes, slot.channels, strict=True)
    ]
