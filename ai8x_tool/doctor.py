"""Diagnosis of this computer: software and hardware that the tool can use, and how to add what is missing."""

from __future__ import annotations

import importlib.util
import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ai8x_tool.console import Console, PlainText
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.toolchain import find_toolchain
from ai8x_tool.plugins.find import list_datasets, list_models
from ai8x_tool.version import __version__

SCHEMA = "ai8x-doctor/1"
State = Literal["ok", "missing", "problem"]

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "plots": ("matplotlib",),
    "vision": ("torchvision",),
    "images": ("PIL", "h5py"),
    "sound": ("soundfile",),
    "speech": ("espeakng_loader",),
    "detection": ("torchmetrics", "pycocotools"),
    "tensorboard": ("tensorboard",),
    "onnx": ("onnx", "onnxscript", "onnxruntime", "onnxslim"),
    "virtual": ("unicorn", "ziglang", "elftools"),
}
"""The modules that each extra of the package installs."""
_LEAST_SPACE = 2 << 30
"""Minimum free space in bytes: a dataset may fill less."""
_COMPILERS = {"arm": "C compiler, Arm core", "riscv": "C compiler, RISC-V core", "host": "C compiler, this computer"}
_PROBES = ("daplink", "cmsis-dap", "arm_dap")
"""Texts in the serial port names of the debug adapters of the vendor's boards, in lower case."""


@dataclass(frozen=True)
class Finding:
    """Result of one check. A ``missing`` item is optional; a ``problem`` prevents something from working."""

    subject: str
    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which they are shown."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """True if there is no problem; missing items are not problems."""
        return not self.problems

    @property
    def problems(self) -> list[Finding]:
        """The findings that prevent something from working."""
        return [finding for finding in self.findings if finding.state == "problem"]

    def document(self) -> dict[str, Any]:
        """Return the findings for JSON."""
        return {"schema": SCHEMA, "healthy": self.healthy, "findings": [vars(finding) for finding in self.findings]}


def examine(environment: Mapping[str, str] | None = None, devices: Path = Path("/dev")) -> Diagnosis:
    """Return the diagnosis of this computer; `devices` is the folder of its serial ports. No files are left behind."""
    known = os.environ if environment is None else environment
    steps: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _torch,
        _extras,
        _compilers,
        lambda: _board_tools(known),
        lambda: _ports(devices),
        _folders,
        _plugins,
    )
    return Diagnosis(tuple(finding for step in steps for finding in step()))


def _python() -> Iterator[Finding]:
    yield Finding("ai8x", "ok", f"{__version__}, in {Path(__file__).parent}")
    yield Finding("Python", "ok", f"{platform.python_version()}, {sys.executable}")


def _torch() -> Iterator[Finding]:
    """Yield the version of torch, and the device that it computes on."""
    try:
        import torch  # noqa: PLC0415  (most of a second)
    except (ImportError, OSError) as error:
        fix = "pip install torch; synthesize, run and list work without it"
        yield Finding("torch", "problem", f"cannot be imported: {error}", fix)
        return
    if torch.cuda.is_available():
        where = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    elif torch.backends.mps.is_available():
        where = "Apple GPU (mps)"
    else:
        where = f"CPU, {torch.get_num_threads()} of {os.cpu_count()} threads; no GPU found"
    yield Finding("torch", "ok", f"{torch.__version__}, {where}")


def _extras() -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        subject = f"extra {extra}"
        if missing:
            yield Finding(
                subject, "missing", f"not installed: {', '.join(missing)}", f"pip install 'ai8x-tool[{extra}]'"
            )
        else:
            yield Finding(subject, "ok", ", ".join(modules))


def _compilers() -> Iterator[Finding]:
    for core, subject in _COMPILERS.items():
        try:
            found = find_toolchain(core)
        except Ai8xError as error:
            yield Finding(subject, "missing", error.message, error.fix or "")
        else:
            yield Finding(subject, "ok", f"{found.name} ({found.command[0]})")


def _board_tools(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the vendor's SDK, make and OpenOCD, which a board needs."""
    path = environment.get("MAXIM_PATH", "")
    if not path:
        fix = "install the MSDK and set MAXIM_PATH to its folder; only boards need it"
        yield Finding("MSDK", "missing", "MAXIM_PATH is not set", fix)
    elif not (Path(path) / "Libraries").is_dir():
        yield Finding("MSDK", "problem", f"MAXIM_PATH is {path}, which has no Libraries", "set it to the MSDK's folder")
    else:
        yield Finding("MSDK", "ok", path)
    for tool, place in (("make", None), ("openocd", "Tools/OpenOCD")):
        own = None if place is None or not path else shutil.which(tool, path=str(Path(path) / place))
        found = own or shutil.which(tool, path=environment.get("PATH"))
        fix = "install it, or the MSDK, which contains it; only boards need it"
        yield Finding(tool, "ok", found) if found else Finding(tool, "missing", "not found", fix)


def _ports(devices: Path) -> Iterator[Finding]:
    """Yield the serial ports, and whether they belong to a board's debug adapter."""
    named = {link.resolve().name: link.name for link in sorted(devices.glob("serial/by-id/*"))}
    ports = sorted(port for pattern in ("ttyACM*", "ttyUSB*", "cu.usbmodem*") for port in devices.glob(pattern))
    if not ports:
        yield Finding("serial ports", "missing", "none found", "connect a board by USB; `ai8x run` needs none")
    for port in ports:
        name = named.get(port.name, "")
        board = "board: " if any(probe in name.lower() for probe in _PROBES) else ""
        text = f"{board}{name}" if name else "unknown device"
        if os.access(port, os.R_OK | os.W_OK):
            yield Finding(str(port), "ok", text)
        else:
            yield Finding(str(port), "problem", f"{text}: no permission", "add yourself to its group (dialout)")


def _folders() -> Iterator[Finding]:
    """Yield whether the folders that commands write to are writable, and their free space."""
    for subject, folder in (("current folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            yield Finding(subject, "problem", f"{folder} cannot be written: {error.strerror}", "choose another one")
            continue
        free = shutil.disk_usage(folder).free
        text = f"{folder}: {free / (1 << 30):,.1f} GiB free"
        enough = free >= _LEAST_SPACE
        yield (Finding(subject, "ok", text) if enough else Finding(subject, "problem", text, "free at least 2 GiB"))
    for name in ("logs", "data"):
        if Path(name).exists() and not os.access(name, os.W_OK):
            yield Finding(f"folder {name}", "problem", "cannot be written", "change its owner, or use another one")


def _plugins() -> Iterator[Finding]:
    """Yield the numbers of models and datasets, and every file that cannot be used."""
    for kind, find in (("models", list_models), ("datasets", list_datasets)):
        console = Console(verbosity=-1, err=PlainText(file=io.StringIO()))
        count = len(find(console))
        yield Finding(kind, "ok", f"{count} found")
        for text in console.warnings:
            fix = f"correct the file, or move it out of {kind}/"
            yield Finding(kind, "problem", text.removesuffix(": skipped"), fix)
