"""Boards: building and flashing a project with the vendor's tools, and reading the program's output."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.project import Project, read_project
from ai8x_tool.settings.project import FlashSettings, MonitorSettings

_INSTALL = "install the MSDK and set MAXIM_PATH to its folder; `ai8x doctor` shows what is found"
_VERDICT = re.compile(r"\*\*\* (PASS|FAIL) \*\*\*")
_PORTS = ("ttyACM*", "cu.usbmodem*")
"""Names of the serial ports of the boards' debug adapters."""
_LONGEST_WAIT = 3600.0
"""Maximum seconds of a single wait, which the system limits."""


@dataclass(frozen=True)
class MonitorResult:
    """Output of a program, and the result of its known-answer test: `passed` is None if it did not end in time."""

    port: Path
    lines: tuple[str, ...]
    passed: bool | None

    def document(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {"schema": "ai8x-monitor/1", "port": str(self.port), "passed": self.passed, "lines": list(self.lines)}


def flash(folder: Path, settings: FlashSettings, show: Callable[[str], None]) -> Path:
    """Build the project in `folder` with the MSDK and write it to the board; return the file that was written.

    `show` receives the commands. Raises Ai8xError if a tool is missing or fails.
    """
    project = read_project(folder)
    sdk = _sdk(os.environ)
    if settings.build:
        target = project.device.name
        _call(["make", "-C", str(folder), f"TARGET={target}", f"MAXIM_PATH={sdk}"], show, "builds")
    program = _program(project)
    openocd = _openocd(settings, sdk)
    scripts = ["-s", str(sdk / "Tools/OpenOCD/scripts")] if (sdk / "Tools/OpenOCD/scripts").is_dir() else []
    target_file = f"target/{project.device.name.lower()}.cfg"
    write = f"program {{{program.resolve()}}} verify reset exit"
    _call([openocd, *scripts, "-f", "interface/cmsis-dap.cfg", "-f", target_file, "-c", write], show, "writes")
    return program


def _sdk(environment: Mapping[str, str]) -> Path:
    path = environment.get("MAXIM_PATH")
    if not path or not Path(path).is_dir():
        raise Ai8xError("the MSDK was not found: MAXIM_PATH is not set to a folder", fix=_INSTALL)
    return Path(path)


def _openocd(settings: FlashSettings, sdk: Path) -> str:
    own = shutil.which("openocd", path=str(sdk / "Tools/OpenOCD"))
    found = shutil.which(settings.openocd) if settings.openocd else own or shutil.which("openocd")
    if found is None:
        raise Ai8xError(f"{settings.openocd or 'openocd'} not found", fix=_INSTALL)
    return found


def _program(project: Project) -> Path:
    """Return the built program; for a project for both cores, the one that contains both programs."""
    found = sorted(project.folder.glob("build/*.elf"), key=lambda path: path.stat().st_mtime)
    combined = [path for path in found if path.stem.endswith("-combined")]
    if not found:
        raise Ai8xError("there is no program in build/", where=str(project.folder), fix="leave out --no-build")
    return (combined or found)[-1]


def _call(command: list[str], show: Callable[[str], None], does: str) -> None:
    """Run a tool. Raises Ai8xError with its first error message if it fails."""
    show(" ".join(command))
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise Ai8xError(f"{command[0]}: {error.strerror}", fix=_INSTALL) from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        words = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")
        raise Ai8xError(f"the step that {does} the program failed: {words.strip()}", where=command[0])


def monitor(settings: MonitorSettings, show: Callable[[str], None]) -> MonitorResult:
    """Show each line that the board prints, until its known-answer test has ended or `settings.seconds` have passed."""
    port = settings.port or _only_port(Path("/dev"))
    lines: list[str] = []
    for line in _read_lines(port, time.monotonic() + settings.seconds):
        lines.append(line)
        show(line)
        verdict = _VERDICT.fullmatch(line.strip())
        if verdict:
            return MonitorResult(port, tuple(lines), verdict[1] == "PASS")
    return MonitorResult(port, tuple(lines), None)


def _only_port(devices: Path) -> Path:
    ports = sorted(path for pattern in _PORTS for path in devices.glob(pattern))
    if len(ports) != 1:
        found = ", ".join(map(str, ports)) or "none"
        raise Ai8xError(
            f"cannot determine the serial port of the board; found: {found}", fix="select the port with --port"
        )
    return ports[0]


def _read_lines(port: Path, end: float) -> Iterator[str]:
    """Yield the lines from a serial port of 115,200 baud until `end`, a time of the monotonic clock."""
    try:
        stream = os.open(port, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        fix = "add yourself to the port's group (dialout)" if isinstance(error, PermissionError) else "check --port"
        raise Ai8xError(f"cannot be opened: {error.strerror}", where=str(port), fix=fix) from None
    try:
        tty.setraw(stream)
        attributes = termios.tcgetattr(stream)
        attributes[4] = attributes[5] = termios.B115200
        termios.tcsetattr(stream, termios.TCSANOW, attributes)
        pending = b""
        while (left := end - time.monotonic()) > 0:
            if not select.select([stream], [], [], min(left, _LONGEST_WAIT))[0]:
                continue
            received = os.read(stream, 4096)
            if not received:
                return
            *complete, pending = (pending + received).split(b"\n")
            yield from (line.decode("utf-8", "replace").rstrip("\r") for line in complete)
    except (OSError, termios.error) as error:
        raise Ai8xError(f"cannot be read: {error}", where=str(port), fix="name a serial port") from None
    finally:
        os.close(stream)
