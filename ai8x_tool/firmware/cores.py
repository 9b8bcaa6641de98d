"""Models of the two cores: Cortex-M4 and RV32IMC."""

from __future__ import annotations

import struct
from typing import Any

from ai8x_tool.firmware.image import Image
from ai8x_tool.firmware.machine import Machine, SharedSystem

_CNN_IRQ_ARM, _RISCV_IRQ_ARM, _CNN_IRQ_RISCV = 117, 79, 57
_EXCEPTIONS = 16


class ArmMachine(Machine):
    """The Cortex-M4 core: exceptions of the architecture, with the main stack only and without priorities."""

    endless = (b"\xfe\xe7", b"\xff\xf7\xfe\xbf")
    _SYSTEM, _SYSTEM_SIZE = 0xE000_0000, 0x10_0000
    _ENABLE, _DISABLE, _WORDS = 0xE100, 0xE180, 4
    _VECTORS = 0xED08
    _RETURN = 0xFFFF_FFF9
    _EXCEPTION_EXIT = 8
    _FRAME = ("argument0", "argument1", "argument2", "argument3", "r12", "lr", "pc", "xpsr")

    def _make(self) -> Any:
        from unicorn import UC_ARCH_ARM, UC_MODE_MCLASS, UC_MODE_THUMB, Uc  # noqa: PLC0415  (see Machine)
        from unicorn.arm_const import UC_CPU_ARM_CORTEX_M4  # noqa: PLC0415

        uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M4)
        return uc

    def __init__(self, shared: SharedSystem, image: Image, limit: int) -> None:
        from unicorn import arm_const as c  # noqa: PLC0415  (see Machine)

        self._registers = {
            "pc": c.UC_ARM_REG_PC,
            "sp": c.UC_ARM_REG_SP,
            "lr": c.UC_ARM_REG_LR,
            "result": c.UC_ARM_REG_R0,
            "argument0": c.UC_ARM_REG_R0,
            "argument1": c.UC_ARM_REG_R1,
            "argument2": c.UC_ARM_REG_R2,
            "argument3": c.UC_ARM_REG_R3,
            "r12": c.UC_ARM_REG_R12,
            "xpsr": c.UC_ARM_REG_XPSR,
            "primask": c.UC_ARM_REG_PRIMASK,
        }
        self._system: dict[int, int] = {}
        self._enabled: set[int] = set()
        super().__init__(shared, image, limit)

    def _map_core(self) -> None:
        self._uc.mmio_map(self._SYSTEM, self._SYSTEM_SIZE, self._system_load, None, self._system_store, None)
        self._uc.hook_add(self._unicorn.UC_HOOK_INTR, self._on_exception)

    def _system_load(self, _: Any, offset: int, size: int, __: Any) -> int:
        return self._system.get(offset, 0)

    def _system_store(self, _: Any, offset: int, size: int, value: int, __: Any) -> None:
        for base, change in ((self._ENABLE, self._enabled.add), (self._DISABLE, self._enabled.discard)):
            if base <= offset < base + 4 * self._WORDS:
                for bit in range(32):
                    if value >> bit & 1:
                        change(8 * (offset - base) + bit)
                return
        self._system[offset] = value

    def _on_exception(self, _: Any, number: int, __: Any) -> None:
        if number == self._EXCEPTION_EXIT:
            self._leave_interrupt()
            self._uc.emu_stop()
        else:
            self._fail(f"exception {number} ({self._place()})")

    def _count(self, code: bytes) -> int:
        count = position = 0
        while position < len(code):
            wide = code[position + 1] >> 3 in (0b11101, 0b11110, 0b11111)
            position += 4 if wide else 2
            count += 1
        return count

    def register(self, name: str, value: int | None = None) -> int:
        """Return a register by name; if `value` is given, set it first."""
        number = self._registers[name]
        if value is not None:
            self._uc.reg_write(number, value)
        return self._uc.reg_read(number)

    def _code_address(self, address: int) -> int:
        return address | 1

    def start_address(self) -> tuple[int, int]:
        """Return the start address and the stack pointer from the vector table."""
        stack, start = struct.unpack("<2I", self.shared.flash[:8].tobytes())
        return start & ~1, stack

    def pending(self) -> int | None:
        """Return the number of the accelerator's or the RISC-V core's interrupt if it is pending, otherwise None."""
        if _CNN_IRQ_ARM in self._enabled and self.bus.interrupt:
            return _CNN_IRQ_ARM
        return _RISCV_IRQ_ARM if _RISCV_IRQ_ARM in self._enabled and self._peripherals.wakes_arm else None

    def masked(self) -> bool:
        """Whether PRIMASK is set."""
        return bool(self.register("primask"))

    def enter_interrupt(self, number: int) -> None:
        """Push the exception frame and jump to the handler in the vector table."""
        frame = [self.register(name) for name in self._FRAME]
        stack = self.register("sp") - 4 * len(frame)
        self._uc.mem_write(stack, struct.pack("<8I", *frame))
        vector = self._system.get(self._VECTORS, 0x1000_0000) + 4 * (_EXCEPTIONS + number)
        self.register("sp", stack)
        self.register("lr", self._RETURN)
        self.register("pc", struct.unpack("<I", self._uc.mem_read(vector, 4))[0] & ~1)

    def _leave_interrupt(self) -> None:
        stack = self.register("sp")
        frame = struct.unpack("<8I", self._uc.mem_read(stack, 32))
        for name, value in zip(self._FRAME, frame, strict=True):
            self.register(name, value)
        self.register("sp", stack + 32)
        self._end_interrupt()


class RiscvMachine(Machine):
    """The RISC-V core, in machine mode with one vector for each interrupt."""

    endless = (b"\x01\xa0", b"\x6f\x00\x00\x00")
    _CONTROLLER, _CONTROLLER_SIZE = 0xE507_0000, 0x1000
    _ENABLED = 0x0
    _INTERRUPTS_ON, _WERE_ON, _MACHINE_MODE = 1 << 3, 1 << 7, 3 << 11
    _IS_INTERRUPT = 1 << 31

    def _make(self) -> Any:
        from unicorn import UC_ARCH_RISCV, UC_MODE_RISCV32, Uc  # noqa: PLC0415  (see Machine)

        return Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)

    def __init__(self, shared: SharedSystem, image: Image, limit: int) -> None:
        from unicorn import riscv_const as c  # noqa: PLC0415  (see Machine)

        self._registers = {
            "pc": c.UC_RISCV_REG_PC,
            "sp": c.UC_RISCV_REG_SP,
            "lr": c.UC_RISCV_REG_RA,
            "result": c.UC_RISCV_REG_A0,
            "argument0": c.UC_RISCV_REG_A0,
            "argument1": c.UC_RISCV_REG_A1,
            "status": c.UC_RISCV_REG_MSTATUS,
            "cause": c.UC_RISCV_REG_MCAUSE,
            "return": c.UC_RISCV_REG_MEPC,
            "vectors": c.UC_RISCV_REG_MTVEC,
        }
        self._controller: dict[int, int] = {}
        super().__init__(shared, image, limit)

    def _map_core(self) -> None:
        self._uc.mmio_map(
            self._CONTROLLER, self._CONTROLLER_SIZE, self._controller_load, None, self._controller_store, None
        )
        self._uc.hook_add(self._unicorn.UC_HOOK_INTR, self._on_exception)

    def _controller_load(self, _: Any, offset: int, size: int, __: Any) -> int:
        return self._controller.get(offset, 0)

    def _controller_store(self, _: Any, offset: int, size: int, value: int, __: Any) -> None:
        self._controller[offset] = value

    def _on_exception(self, _: Any, number: int, __: Any) -> None:
        self._fail(f"exception {number} ({self._place()})")

    def _count(self, code: bytes) -> int:
        count = position = 0
        while position < len(code):
            position += 4 if code[position] & 3 == 3 else 2
            count += 1
        return count

    def register(self, name: str, value: int | None = None) -> int:
        """Return a register by name; if `value` is given, set it first."""
        if value is not None:
            self._uc.reg_write(self._registers[name], value)
        return self._uc.reg_read(self._registers[name])

    def start_address(self) -> tuple[int, int]:
        """Return the boot address that the Arm core has set; the program initializes its stack pointer itself."""
        return self.shared.peripherals.boot_address, 0

    def pending(self) -> int | None:
        """Return the number of the accelerator's interrupt if it is pending, otherwise None."""
        enabled = self._controller.get(self._ENABLED + _CNN_IRQ_RISCV // 32 * 4, 0) >> _CNN_IRQ_RISCV % 32 & 1
        return _CNN_IRQ_RISCV if enabled and self.bus.interrupt else None

    def masked(self) -> bool:
        """Whether machine interrupts are disabled."""
        return not self.register("status") & self._INTERRUPTS_ON

    def enter_interrupt(self, number: int) -> None:
        """Save the state as the core does, and jump to the interrupt's vector."""
        status = self.register("status")
        self.register("status", status & ~self._INTERRUPTS_ON | self._WERE_ON | self._MACHINE_MODE)
        self.register("cause", self._IS_INTERRUPT | number)
        self._marks[self.register("return", self.register("pc"))] = self._return_from_interrupt
        self.register("pc", (self.register("vectors") & ~3) + 4 * number)

    def _return_from_interrupt(self, address: int) -> None:
        """Record the address at which the program continues; the emulated core has done everything else."""
        self._marks.pop(address)
        if address in self._entries:
            self._marks[address] = self._enter_phase
            self._enter_phase(address)
        self._end_interrupt()
        self._uc.emu_stop()
