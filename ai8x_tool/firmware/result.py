"""Results of a program's run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ai8x_tool.firmware.image import Sizes
from ai8x_tool.firmware.phases import Phase


@dataclass(frozen=True)
class MemoryUse:
    """Memory use of one core's program in bytes; `stack` is the largest depth during the run."""

    core: str
    sizes: Sizes
    stack: int
    flash_size: int
    sram_size: int


@dataclass(frozen=True)
class FirmwareRun:
    """Result of a run: the console's text, the exit status, and the fault if the program did not end.

    `phases` and `memory` are empty for programs that were executed on this computer.
    """

    text: str
    exit_code: int
    fault: str = ""
    phases: tuple[Phase, ...] = ()
    memory: tuple[MemoryUse, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the program ended with status 0 and without a fault."""
        return self.exit_code == 0 and not self.fault

    @property
    def instructions(self) -> int:
        """Instructions of the core that uses the accelerator."""
        return sum(phase.instructions for phase in self.phases)

    def document(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {"passed": self.passed, "instructions": self.instructions, **asdict(self)}
