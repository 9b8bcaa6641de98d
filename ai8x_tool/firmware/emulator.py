"""Execution of a compiled project in emulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.build import SRAM_START, Firmware
from ai8x_tool.firmware.bus import Bus
from ai8x_tool.firmware.cores import ArmMachine, RiscvMachine
from ai8x_tool.firmware.image import Image
from ai8x_tool.firmware.machine import DEFAULT_LIMIT, FILL, Machine, SharedSystem
from ai8x_tool.firmware.result import FirmwareRun, MemoryUse
from ai8x_tool.firmware.session import Session
from ai8x_tool.firmware.system import Terminal

_OUTPUTS = ("ml_data", "ml_data32")
_WRAPPER_PATIENCE = 100_000
"""Instructions that the Arm core may execute without sleeping once it has started the RISC-V core."""


class Emulator(Session):
    """A compiled project in emulation."""

    def __init__(
        self,
        firmware: Firmware,
        bus: Bus,
        *,
        console_out: Callable[[str], None] | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        super().__init__(firmware, bus)
        self._terminal = Terminal(console_out)
        self._shared = SharedSystem(firmware, bus, self._terminal)
        kind = ArmMachine if firmware.images[0].core == "arm" else RiscvMachine
        self._machine: Machine = kind(self._shared, firmware.images[0], limit)

    def _run(self) -> FirmwareRun:
        fault = self._run_with_wrapper() if len(self.firmware.images) > 1 else self._run_to_end(self._machine)
        self._terminal.close()
        status = 0 if self._machine.stopped == "passed" else self._machine.register("result")
        return FirmwareRun(
            text=self._terminal.text,
            exit_code=1 if fault or self._terminal.failed else status,
            fault=fault,
            phases=self._machine.phases.used(),
            memory=tuple(self._memory_use(image) for image in self.firmware.images),
        )

    def _run_to_end(self, machine: Machine) -> str:
        """Run from reset; return the fault if the program did not end, otherwise an empty string."""
        machine.reset()
        machine.resume()
        return machine.sleep_fault() if machine.stopped == "sleep" else machine.fault

    def _run_with_wrapper(self) -> str:
        """Run the Arm core until it starts the RISC-V core, then the RISC-V core, which wakes the Arm core."""
        arm = ArmMachine(self._shared, self.firmware.images[1], _WRAPPER_PATIENCE)
        fault = self._run_to_end(arm)
        if not self._shared.peripherals.riscv_started:
            return fault or "the Arm core's program ended without starting the RISC-V core"
        fault = self._run_to_end(self._machine)
        if fault or self._machine.stopped != "exit":
            return fault
        arm.resume()
        return "" if arm.stopped == "exit" else "the RISC-V core's program ended without waking the Arm core"

    def _memory_use(self, image: Image) -> MemoryUse:
        _, size = self.firmware.sram(image)
        end, top = image.symbols["__bss_end"], image.symbols["__stack_top"]
        free = self._shared.sram[end - SRAM_START : top - SRAM_START]
        used = np.flatnonzero(free != FILL)
        stack = len(free) - int(used[0]) if len(used) else 0
        return MemoryUse(image.core, image.sizes, stack, self.firmware.device.flash_size, size)

    def _call(self, function: str, *arguments: int) -> None:
        machine = self._machine
        machine.call(function, *arguments)
        if machine.stopped != "exit":
            fault = machine.sleep_fault() if machine.stopped == "sleep" else machine.fault
            raise Ai8xError(f"{function}() does not return: {fault}", where=str(self.firmware.project.folder))

    def _load(self, function: str, data: bytes) -> None:
        self._call(function, self._machine.place(data))

    def _unload(self) -> bytes:
        image = self.firmware.images[0]
        name = next((name for name in _OUTPUTS if name in image.symbols), None)
        if name is None:
            raise Ai8xError("the program has no buffer for its outputs", where=str(self.firmware.project.folder))
        self._call("cnn_unload", image.symbols[name])
        start = image.symbols[name] - SRAM_START
        return self._shared.sram[start : start + image.extents[name]].tobytes()
