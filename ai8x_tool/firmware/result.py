"""What a run of a program shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ai8x_tool.firmware.image import Sizes
from ai8x_tool.firmware.phases import Phase


@dataclass(frozen=True)
class MemoryUse:
    """What one core's program takes of its memories, in bytes; `stack` is the most that was in use."""

    core: str
    sizes: Sizes
    stack: int
    flash_size: int
    sram_size: int


@dataclass(frozen=True)
class FirmwareRun:
    """The console's text, the exit status, and why the program did not come to its end, if so.

    `phases` and `memory` are empty for programs that this machine executed itself.
    """

    text: str
    exit_code: int
    fault: str = ""
    phases: tuple[Phase, ...] = ()
    memory: tuple[MemoryUse, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the program ended well."""
        return self.exit_code == 0 and not self.fault

    @property
    def instructions(self) -> int:
        """Instructions of the core that uses the accelerator."""
        return sum(phase.instructions for phase in self.phases)

    def document(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {"passed": self.passed, "instructions": self.instructions, **asdict(self)}
