"""Execution of a project that was compiled for this computer.

The program is a separate process; its accesses to the accelerator arrive through a pipe, and loads wait for the reply.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
from collections.abc import Callable

import numpy as np

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.build import Firmware
from ai8x_tool.firmware.bus import Bus
from ai8x_tool.firmware.result import FirmwareRun
from ai8x_tool.firmware.session import Session
from ai8x_tool.firmware.system import Terminal

_FUNCTIONS = (
    *("cnn_enable", "cnn_init", "cnn_load_weights", "cnn_load_bias", "cnn_configure", "cnn_start"),
    *("shim_wait", "cnn_continue", "cnn_unload", "cnn_load_input", "cnn_load_input_rgb888"),
)
"""Functions in the order of the list in host.c."""
_STORES = (1, 2, 4)
_LOAD, _INTERRUPT, _SLEEP, _ENDED, _RETURNED, _OUTPUT, _CONSOLE = 0x10, 0x20, 0x21, 0x30, 0x31, 0x40, 0x41
_RECORD = 12
_NO_MEMORY = 2
"""Exit status of a program that cannot map the device's addresses."""
_CHUNK = 1 << 16
_PATIENCE_SECONDS = 10
_MOST_POLLS = 200_000


class Host(Session):
    """A project that this computer executes. Its functions are called in the process that has run the program."""

    def __init__(self, firmware: Firmware, bus: Bus, *, console_out: Callable[[str], None] | None = None) -> None:
        super().__init__(firmware, bus)
        self._terminal = Terminal(console_out)
        self._process: subprocess.Popen[bytes] | None = None
        self._records = -1
        self._received = b""
        self._output: list[int] = []
        self._polls, self._last_load = 0, -1
        self._runs_forever = self._stopped = False

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            os.close(self._records)
            self._process = None

    def _run(self) -> FirmwareRun:
        self._start()
        status, fault = self._serve(self._accelerator, _ENDED)
        self._terminal.close()
        return FirmwareRun(self._terminal.text, 1 if fault or self._terminal.failed else status, fault)

    def _call(self, function: str, data: bytes = b"") -> None:
        self._send(struct.pack("<I", _FUNCTIONS.index(function)) + data)
        _, fault = self._serve(self._accelerator, _RETURNED)
        if fault or self._terminal.failed:
            reason = fault or "the program has failed"
            raise Ai8xError(f"{function}() does not return: {reason}", where=str(self.firmware.project.folder))

    def _load(self, function: str, data: bytes) -> None:
        self._call(function, struct.pack("<I", len(data)) + data)

    def _unload(self) -> bytes:
        self._output.clear()
        self._call("cnn_unload")
        return np.array(self._output, "<u4").tobytes()

    # -- The process -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        interface = self.firmware.project.interface
        microseconds = max(1, round(interface.estimated_us)) if interface else 1
        self._records, writing = os.pipe()
        command = [str(self.firmware.host), str(writing), str(microseconds), str(os.getpid())]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(writing,))
        finally:
            os.close(writing)

    def _answer(self, value: int) -> None:
        self._send(struct.pack("<I", value))

    def _send(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the reason follows from the end of its records
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _serve(self, bus: Bus, until: int) -> tuple[int, str]:
        """Serve the program until record `until`; return its value, and the fault if it did not arrive."""
        self._polls = 0
        while True:
            records, fault = self._receive()
            for address, value, operation in records:
                if operation in _STORES:
                    self._polls = 0
                    bus.write(address, value, operation)
                elif operation == until:
                    return value, ""
                elif operation == _OUTPUT:
                    self._output.append(value)
                elif operation == _CONSOLE:
                    self._terminal.put(value)
                else:
                    fault = self._reply(bus, address, operation)
            if self._terminal.endless and fault is None:
                fault = self._stop("the program prints endlessly")
            if until == _ENDED and (self._terminal.failed or self._runs_forever):
                return int(self._terminal.failed), self._stop("")  # an endless loop follows
            if fault is not None:
                forever = until == _ENDED and self._terminal.passed and self._stopped
                return (0, "") if forever else (1, fault)

    def _reply(self, bus: Bus, address: int, operation: int) -> str | None:
        """Answer a request of the program; return the fault if the program will not end."""
        if operation in (_INTERRUPT, _SLEEP):
            pending = bus.interrupt
            self._runs_forever = pending and self._terminal.passed
            if operation == _SLEEP and not pending:
                return self._stop(
                    "the program sleeps and nothing wakes it; the accelerator has not signalled completion"
                )
            self._polls += 1
            self._answer(int(pending))
        else:
            self._polls = self._polls + 1 if address == self._last_load else 0
            self._last_load = address
            self._answer(bus.read(address, operation & ~_LOAD))
        if self._polls > _MOST_POLLS:
            return self._stop(f"no progress in {_MOST_POLLS:,} loads (the last from 0x{max(self._last_load, 0):08x})")
        return None

    def _receive(self) -> tuple[list[tuple[int, int, int]], str | None]:
        """Return the next records, and the fault if there are no more."""
        ready, _, _ = select.select([self._records], [], [], _PATIENCE_SECONDS)
        if not ready:
            return [], self._stop(f"no access to the accelerator for {_PATIENCE_SECONDS} seconds")
        data = os.read(self._records, _CHUNK)
        if not data:
            return [], self._ending()
        data = self._received + data
        whole = len(data) // _RECORD * _RECORD
        self._received = data[whole:]
        return list(struct.iter_unpack("<3I", data[:whole])), None

    def _stop(self, fault: str) -> str:
        assert self._process is not None
        self._process.kill()
        self._stopped = True
        return fault

    def _ending(self) -> str:
        """Return the reason why the process ended."""
        assert self._process is not None
        status = self._process.wait()
        if status == _NO_MEMORY:
            return "this computer cannot map memory at the device's addresses"
        return f"the program ended with status {status}"
