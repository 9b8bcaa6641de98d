"""What ``cnn_unload()`` copies, as entries for the template. spec: generated-c, section 4.10; memory, 7.3 and 7.4."""

from __future__ import annotations

from typing import Any

from ai8x_tool.device import Device
from ai8x_tool.device import registers as tables
from ai8x_tool.lowering.outputs import OutputRegion, OutputSlot, output_slots
from ai8x_tool.network.dimensions import passes

_MOST_CALLS = 16
"""Up to so many blocks of output, calls take less flash than a table."""

_INSTANCES_PER_QUADRANT = 4
_PIXELS_PER_WORD = 4


def unload_values(device: Device, regions: tuple[OutputRegion, ...], *, mlator: bool) -> dict[str, Any]:
    """Return the template's values: blocks that the CPU copies, channels that the byte collector delivers."""
    as_bytes = any(region.width == 8 for region in regions)
    blocks: list[dict[str, int]] = []
    channels: list[dict[str, int]] = []
    start = 0
    for region in regions:
        for slot in output_slots(region):
            if mlator and collectable(region):
                channels += _collected(device, region, slot, start)
            else:
                blocks.append(_block(device, region, slot, start, as_bytes=as_bytes))
        start += region.bytes if as_bytes else region.bytes // 4
    control = tables.registers(device)
    return {
        "unload": blocks,
        "collected": channels,
        "collector": {name: control[name].offset - control["CTL"].offset for name in ("WPTR", "LCTL2", "MLAT")},
        "unload_table": len(blocks) > _MOST_CALLS,
        "unload_bytes": as_bytes,
        "unload_words": any(region.width == 32 for region in regions),
    }


def collectable(region: OutputRegion) -> bool:
    """Return whether the byte collector can deliver the region: four pixels of a channel at a time."""
    whole = region.pixels % _PIXELS_PER_WORD == 0 or region.channels == 1
    return region.width == 8 and region.pixels >= _PIXELS_PER_WORD and whole


def _step(region: OutputRegion) -> int:
    """Return the words from one pixel to the next."""
    return passes(region.channels) * region.width // 8 * (region.gap + 1)


def _block(device: Device, region: OutputRegion, slot: OutputSlot, start: int, *, as_bytes: bool) -> dict[str, int]:
    unit = 4 if as_bytes and region.width == 32 else 1
    return {
        "source": device.instance(4 * slot.instance) + int(slot.offsets[0]),
        "target": start + slot.channels[0] * region.pixels * unit,
        "pixels": region.pixels,
        "step": _step(region),
        "lanes": sum(1 << lane for lane in slot.lanes),
        "wide": int(region.width == 32),
    }


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
