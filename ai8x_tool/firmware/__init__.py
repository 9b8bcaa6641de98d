"""Execution of generated projects, which are compiled unchanged, on emulated cores of the device or on this computer.

>>> from pathlib import Path
>>> from ai8x_tool.firmware import build, open_session
>>> from ai8x_tool.virtual import VirtualDevice
>>> firmware = build(Path("build/kws20"))
>>> session = open_session(firmware, VirtualDevice(firmware.device))
>>> session.run().passed
True
"""

from __future__ import annotations

from collections.abc import Callable

from ai8x_tool.firmware.build import Firmware, build
from ai8x_tool.firmware.bus import Bus
from ai8x_tool.firmware.emulator import Emulator
from ai8x_tool.firmware.host import Host
from ai8x_tool.firmware.result import FirmwareRun
from ai8x_tool.firmware.session import Session

__all__ = ["Bus", "Firmware", "FirmwareRun", "Session", "build", "open_session", "run"]


def open_session(firmware: Firmware, bus: Bus, *, console_out: Callable[[str], None] | None = None) -> Session:
    """Return a session of `firmware` at `bus`. `console_out` receives the lines that the program prints."""
    kind = Host if firmware.host else Emulator
    return kind(firmware, bus, console_out=console_out)


def run(firmware: Firmware, bus: Bus, *, console_out: Callable[[str], None] | None = None) -> FirmwareRun:
    """Run `firmware` on `bus` from reset to its end."""
    with open_session(firmware, bus, console_out=console_out) as session:
        return session.run()
