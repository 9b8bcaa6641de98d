"""A core that executes a program on its bus. The differences of the cores are in :mod:`ai8x_tool.firmware.cores`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai8x_tool.device.facts import FLASH_START
from ai8x_tool.firmware.build import SRAM_START, Firmware
from ai8x_tool.firmware.bus import Bus
from ai8x_tool.firmware.image import Image
from ai8x_tool.firmware.phases import PHASES, Phases
from ai8x_tool.firmware.system import Peripherals, Terminal

ACCELERATOR, ACCELERATOR_SIZE = 0x5000_0000, 0x800_0000
_PERIPHERALS, _PERIPHERALS_SIZE = 0x4000_0000, 0x10_0000
_FAST_FIFO = range(0xC_0400, 0xC_1000)
_INPUT, _PAGE = 0x6000_0000, 0x1000
"""Address and page size of inputs, in memory that the devices do not have: not every input fits into theirs."""
FILL = 0xA5
"""Value of unused SRAM, which reveals the depth of the stack."""

_POLL = 20_000
"""Instructions without a store to the accelerator after which the interrupt is checked again."""
_FAILED = 2_000
"""Instructions that a program may execute after it has printed FAIL."""
_MOST_POLLS = 100_000
"""Loads from one address of the accelerator, without a store between them, that count as a hang."""
_MOST_SETTINGS = 200_000
"""Stores to other registers, without one to the accelerator or console output between them, that count as a hang."""
_MOST_CHAINED = 100
"""Interrupts in a row without an instruction of the program between them."""
DEFAULT_LIMIT = 10_000_000
"""Instructions without progress (a store, a load from another address, console output) that count as a hang."""


@dataclass
class SharedSystem:
    """Memory, peripherals and bus, which the cores share."""

    firmware: Firmware
    bus: Bus
    terminal: Terminal

    def __post_init__(self) -> None:
        self.machines: list[Machine] = []
        self.flash = np.zeros(self.firmware.device.flash_size, np.uint8)
        for image in self.firmware.images:
            for address, content in image.flash:
                start = address - FLASH_START
                self.flash[start : start + len(content)] = np.frombuffer(content, np.uint8)
        self.sram = np.full(self.firmware.device.sram_size, FILL, np.uint8)
        self.peripherals = Peripherals(self.firmware.device, self.terminal, self._instructions)

    def _instructions(self) -> int:
        return sum(machine.phases.instructions for machine in self.machines)

    @property
    def inference_us(self) -> float:
        """Time of an inference in µs: the synthesizer's estimate, since only instructions take time here."""
        interface = self.firmware.project.interface
        return max(1.0, interface.estimated_us if interface else 0.0)


class Machine(ABC):
    """A core with its program. `limit` is the number of instructions without progress that count as a hang.

    It runs until it stops; `stopped` is then the reason: "exit", "passed" or "failed" (it has printed its result, and
    runs forever), "sleep" or "fault".
    """

    endless: tuple[bytes, ...] = ()
    """Instructions that jump to themselves."""

    def __init__(self, shared: SharedSystem, image: Image, limit: int) -> None:
        import unicorn  # noqa: PLC0415  (an extra, licensed under the GPL: loaded only where it is used)

        self.shared, self.image, self.phases = shared, image, Phases()
        self.stopped, self.fault = "", ""
        self._unicorn = unicorn
        self.bus, self._peripherals, self._limit = shared.bus, shared.peripherals, limit
        self._exit = image.symbols["shim_exit"]
        self._entries = {image.symbols[name]: name for name in PHASES if name in image.symbols}
        self._marks = dict.fromkeys(self._entries, self._enter_phase)
        self._start_function = image.symbols.get("cnn_start", -1)
        self._instructions: dict[int, int] = {}
        self._progress()
        self._last_load, self._polls = -1, 0
        self._interrupts = self._handling = self._ended = False
        self._called = False
        self._chained = self._input_size = 0
        self._uc = self._make()
        self._map()
        shared.machines.append(self)

    # -- Differences of the cores ----------------------------------------------------------------------------------

    @abstractmethod
    def _make(self) -> Any:
        """Return the emulator of this core."""

    @abstractmethod
    def _map_core(self) -> None:
        """Map the core's own registers and hook its exceptions."""

    @abstractmethod
    def _count(self, code: bytes) -> int:
        """Return the number of instructions in `code`."""

    @abstractmethod
    def register(self, name: str, value: int | None = None) -> int:
        """Return a register (pc, sp, lr, result); if `value` is given, set it first."""

    @abstractmethod
    def pending(self) -> int | None:
        """Return the number of an enabled interrupt that is pending."""

    @abstractmethod
    def masked(self) -> bool:
        """Whether interrupts are masked."""

    @abstractmethod
    def enter_interrupt(self, number: int) -> None:
        """Enter the handler of interrupt `number`."""

    @abstractmethod
    def start_address(self) -> tuple[int, int]:
        """Return the address of the program's first instruction, and its stack pointer."""

    # -- Running ---------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Prepare to run the program from its start."""
        address, stack = self.start_address()
        self.register("sp", stack)
        self.register("pc", address)

    def call(self, function: str, *arguments: int) -> int:
        """Call `function` of the program and return its result; `stopped` is "exit" if it returned."""
        self._called, self._handling = True, False
        self.register("sp", self.image.symbols["__stack_top"])
        self.register("lr", self._code_address(self._exit))
        for number, value in enumerate(arguments):
            self.register(f"argument{number}", value)
        self.register("pc", self.image.symbols[function])
        self.resume()
        self.phases.end_calls()
        return self.register("result")

    def place(self, data: bytes) -> int:
        """Store an input of the program in separate memory, and return its address."""
        size = -(-len(data) // _PAGE) * _PAGE
        if size > self._input_size:
            self._uc.mem_map(_INPUT + self._input_size, size - self._input_size, self._unicorn.UC_PROT_READ)
            self._input_size = size
        self._uc.mem_write(_INPUT, data)
        return _INPUT

    def resume(self) -> None:
        """Continue until the program ends, sleeps without a pending interrupt, or fails."""
        self.stopped = ""
        self._progress()
        while not self.stopped:
            self._execute()

    def _execute(self) -> None:
        """Run the core until it sleeps, is interrupted or stops."""
        try:
            self._uc.emu_start(self._code_address(self.register("pc")), self._exit)
        except self._unicorn.UcError as error:
            self._fail(f"{error} ({self._place()})")
        if self.stopped:
            return
        if self.register("pc") == self._exit:
            self.stopped = "exit"
        elif not self._after_stop():
            self.stopped = "passed" if self.passed else "sleep"

    def _code_address(self, address: int) -> int:
        return address

    def _after_stop(self) -> bool:
        """Enter a pending interrupt. Return False if the core sleeps and there is none."""
        asked, self._interrupts = self._interrupts, False
        number = self.pending()
        if number is not None and not self.masked() and not self._handling:
            self._handling = True
            self._chained = self._chained + 1 if self._ended else 0
            if self._chained > _MOST_CHAINED:
                self._fail(f"the handler of interrupt {number} does not acknowledge it")
            self._peripherals.wait(self.shared.inference_us if self.phases.waiting else 0)
            self.enter_interrupt(number)
        self._ended = False
        return asked or number is not None

    def _end_interrupt(self) -> None:
        """Restore the state after a handler has returned."""
        self._handling = False
        self.phases.done()
        self._interrupts = self._ended = True

    # -- Hooks -----------------------------------------------------------------------------------------------------

    def _map(self) -> None:
        uc, const, shared = self._uc, self._unicorn, self.shared
        for start, memory, rights in (
            (FLASH_START, shared.flash, const.UC_PROT_READ | const.UC_PROT_EXEC),
            (SRAM_START, shared.sram, const.UC_PROT_ALL),
        ):
            uc.mem_map_ptr(start, len(memory), rights, memory.ctypes.data)
        uc.mmio_map(ACCELERATOR, ACCELERATOR_SIZE, self._on_load, None, self._on_store, ACCELERATOR)
        uc.mmio_map(_PERIPHERALS, _PERIPHERALS_SIZE, self._on_peripheral_load, None, self._on_peripheral_store, None)
        uc.hook_add(const.UC_HOOK_BLOCK, self._on_block)
        self._map_core()

    def _on_block(self, uc: Any, address: int, size: int, _: Any) -> None:
        key = address << 16 | size
        count = self._instructions.get(key)
        if count is None:
            count = self._instructions[key] = self._count(bytes(uc.mem_read(address, size)))
        if address == self.phases.returns:
            self.phases.leave()
        mark = self._marks.get(address)
        if mark is not None:
            mark(address)
        self.phases.current.instructions += count
        self._idle += count
        if self._idle > self._idle_limit:
            self._check_progress(bytes(uc.mem_read(address, size)))

    def _enter_phase(self, address: int) -> None:
        if address == self._start_function and self.passed:
            self._stop("passed")
        self.phases.enter(self._entries[address], self.register("lr") & ~1)

    def _check_progress(self, code: bytes) -> None:
        if self.shared.terminal.failed:
            self._stop("failed")
        elif code in self.endless and self.pending() is None:
            self._hang(f"an endless loop ({self._place()})")
        elif self._idle > self._limit:
            self._hang(f"no progress in {self._limit:,} instructions ({self._place()}){self._pending_note()}")
        else:
            self._idle_limit = min(self._idle + _POLL, self._limit)
            if not self._handling and not self.masked() and self.pending() is not None:
                self._interrupts = True
                self._uc.emu_stop()

    def _progress(self, limit: int = _POLL) -> None:
        """Restart counting; after `limit` instructions, it is checked whether the program makes progress."""
        self._idle, self._idle_limit, self._settings = 0, limit, 0

    def _on_store(self, _: Any, offset: int, size: int, value: int, start: int) -> None:
        """Store to the accelerator at `start` + `offset`: most accesses of a program are these."""
        if not self._peripherals.accelerator_on:
            self._no_power(start + offset)
        self.phases.current.stores += 1
        self._last_load = -1
        self._progress()
        self.bus.write(start + offset, value, size)

    def _on_load(self, _: Any, offset: int, size: int, __: Any) -> int:
        return self._load(ACCELERATOR + offset, size)

    def _load(self, address: int, size: int) -> int:
        if not self._peripherals.accelerator_on:
            self._no_power(address)
        self.phases.current.loads += 1
        if address != self._last_load:
            self._last_load, self._polls = address, 0
            self._progress()
        else:
            self._polls += 1
            if self._polls > _MOST_POLLS:
                self._hang(
                    f"{_MOST_POLLS:,} consecutive loads from 0x{address:08x}, which does not change ({self._place()})"
                )
        return self.bus.read(address, size)

    def _on_peripheral_load(self, _: Any, offset: int, size: int, __: Any) -> int:
        if offset in _FAST_FIFO:
            return self._load(_PERIPHERALS + offset, size)
        return self._peripherals.read(_PERIPHERALS + offset)

    def _on_peripheral_store(self, _: Any, offset: int, size: int, value: int, __: Any) -> None:
        if offset in _FAST_FIFO:
            self._on_store(None, offset, size, value, _PERIPHERALS)
            return
        if self._peripherals.write(_PERIPHERALS + offset, value):
            self._on_printed()
        else:
            self._settings += 1
            if self._settings > _MOST_SETTINGS:
                self._hang(f"no progress in {_MOST_SETTINGS:,} stores to registers ({self._place()})")

    def _on_printed(self) -> None:
        self._progress(_FAILED if self.shared.terminal.failed else _POLL)
        if self.shared.terminal.endless and self.shared.terminal.failed:
            self._stop("failed")
        elif self.shared.terminal.endless:
            self._hang(f"the program prints endlessly ({self._place()})")

    # -- Ends ------------------------------------------------------------------------------------------------------

    def _stop(self, why: str) -> None:
        self.stopped = self.stopped or why
        self._uc.emu_stop()

    def _fail(self, why: str) -> None:
        self.fault = self.fault or why
        self._stop("fault")

    def _hang(self, why: str) -> None:
        if self.passed:
            self._stop("passed")
        else:
            self._fail(why)

    @property
    def passed(self) -> bool:
        """Whether the program has printed PASS, after which it may run forever."""
        return self.shared.terminal.passed and not self._called

    def _no_power(self, address: int) -> None:
        self._fail(f"the program uses the accelerator (0x{address:08x}) without power or clock ({self._place()})")

    def _place(self) -> str:
        address = self.register("pc")
        return f"at 0x{address:08x} in {self.image.function(address)}()"

    def _pending_note(self) -> str:
        if not self.bus.interrupt:
            return "; the accelerator has not signalled completion"
        return "; the accelerator's interrupt is pending" + (", but not enabled" if self.pending() is None else "")

    def sleep_fault(self) -> str:
        """Return the reason why a sleeping core does not wake."""
        return f"the program sleeps and nothing wakes it ({self._place()}){self._pending_note()}"
