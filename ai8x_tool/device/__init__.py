"""Facts about the two devices: memories, limits, features, clocks and registers."""

from ai8x_tool.device.facts import DEVICES, MAX78000, MAX78002, Device, find_device

__all__ = ["DEVICES", "MAX78000", "MAX78002", "Device", "find_device"]
