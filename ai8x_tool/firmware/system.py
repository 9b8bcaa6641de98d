"""Peripherals other than the accelerator: console, time, and the device's other registers.

Only registers that programs wait for, and those of power and clocks, are modeled; all others keep their written values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ai8x_tool.device import Device

_CLOCK_CONTROL, _PLL_CONTROL = 0x4000_0008, 0x4000_0010
_CLOCKS_OFF, _CLOCKS_OFF_1 = 0x4000_0024, 0x4000_0048
_BOOT_ADDRESS = 0x4000_0810
_LOGIC_POWER, _MEMORY_POWER, _RESET = 0x4000_5800, 0x4000_5804, 0x4000_580C
_CACHE_CONTROL = (0x4002_A100, 0x4002_A900)
_SEMAPHORE_INTERRUPT = 0x4003_E040
_UART_FIFO = 0x4004_2020
_TIMERS = (0x4001_0000, 0x4001_1000, 0x4001_2000, 0x4001_3000, 0x4008_0C00, 0x4008_1000)
_DELAY = 0x400F_F000
"""Not a register of the device: the shim stores a number of microseconds there, which pass at once."""

_CLOCK_READY = 1 << 13 | 1 << 27
_PLL_READY = 1 << 1
_CACHE_READY = 1 << 16
_ACCELERATOR_CLOCK, _RISCV_CLOCK = 1 << 25, 1 << 31
_WAKE_ARM = 1 << 0 | 1 << 16
_CYCLES_PER_TICK = 2

_LINE_FEED = 0x0A
_MOST_TEXT, _MOST_AFTER_VERDICT = 1 << 20, 1 << 18
"""Bytes that a program may print in all and after its result, and the minimum bytes that a line counts for."""
_SHORTEST_LINE = 20
PASS, FAIL = "*** PASS ***", "*** FAIL ***"


@dataclass
class Terminal:
    """The console: its text in UTF-8, and the result that the program has printed. `out` receives complete lines.

    `endless` is True once the program has printed more than any program that ends.
    """

    out: Callable[[str], None] | None = None
    lines: list[str] = field(default_factory=list)
    passed: bool = False
    failed: bool = False
    _line: bytearray = field(default_factory=bytearray)
    _room: int = _MOST_TEXT

    @property
    def text(self) -> str:
        """All text that was printed."""
        return "".join(self.lines) + self._decoded()

    @property
    def endless(self) -> bool:
        """Whether the program seems to print forever."""
        return self._room < 0

    def put(self, byte: int) -> None:
        """Print one byte."""
        self._line.append(byte & 0xFF)
        self._room -= 1
        if byte & 0xFF == _LINE_FEED:
            self._end_line()

    def close(self) -> None:
        """Pass on an incomplete last line."""
        if self._line:
            self._end_line()

    def _decoded(self) -> str:
        return self._line.decode("utf-8", "backslashreplace")

    def _end_line(self) -> None:
        line = self._decoded()
        self._room -= max(0, _SHORTEST_LINE - len(self._line))
        self._line.clear()
        self.lines.append(line)
        self.passed |= line.strip() == PASS
        self.failed |= line.strip() == FAIL
        if self.passed or self.failed:
            self._room = min(self._room, _MOST_AFTER_VERDICT)
        if self.out is not None:
            self.out(line)


class Peripherals:
    """The registers from 0x4000_0000, common to both cores."""

    def __init__(self, device: Device, terminal: Terminal, instructions: Callable[[], int]) -> None:
        self._terminal = terminal
        self._instructions = instructions
        self._megahertz = device.oscillator_mhz
        self._waited = 0
        self._words = {_CLOCKS_OFF: 0xFFFF_FFFF, _CLOCKS_OFF_1: 0xFFFF_FFFF, _RESET: 0xF}
        self.accelerator_on = False

    @property
    def riscv_started(self) -> bool:
        """Whether the Arm core has enabled the clock of the RISC-V core."""
        return not self._words[_CLOCKS_OFF_1] & _RISCV_CLOCK

    @property
    def boot_address(self) -> int:
        """Boot address of the RISC-V core."""
        return self._words.get(_BOOT_ADDRESS, 0)

    @property
    def wakes_arm(self) -> bool:
        """Whether the RISC-V core has interrupted the Arm core."""
        return self._words.get(_SEMAPHORE_INTERRUPT, 0) & _WAKE_ARM == _WAKE_ARM

    @property
    def cycles(self) -> int:
        """Core cycles since the start; every instruction counts as one."""
        return self._instructions() + self._waited

    def wait(self, microseconds: float) -> None:
        """Let time pass without instructions."""
        self._waited += int(microseconds * self._megahertz)

    def read(self, address: int) -> int:
        """Return the word at `address`."""
        word = self._words.get(address, 0)
        if address == _CLOCK_CONTROL:
            return word | _CLOCK_READY
        if address == _PLL_CONTROL and word & 1:
            return word | _PLL_READY
        if address in _CACHE_CONTROL:
            return word | _CACHE_READY
        if address in _TIMERS:
            return word + self.cycles // _CYCLES_PER_TICK & 0xFFFF_FFFF
        return word

    def write(self, address: int, value: int) -> bool:
        """Store a word; return whether this has printed something."""
        if address == _UART_FIFO:
            self._terminal.put(value)
            return True
        if address == _DELAY:
            self.wait(value)
        elif address in _TIMERS:
            self._words[address] = value - self.cycles // _CYCLES_PER_TICK
        else:
            self._words[address] = value
            powered = self._words.get(_LOGIC_POWER, 0) and self._words.get(_MEMORY_POWER, 0)
            clocked = not self._words[_CLOCKS_OFF] & _ACCELERATOR_CLOCK
            self.accelerator_on = bool(powered and clocked and not self._words[_RESET])
        return False
