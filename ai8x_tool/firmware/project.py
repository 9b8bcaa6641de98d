"""Properties of a generated project, read from its folder."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from ai8x_tool.device import Device, find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.interface import Interface, read_interface
from ai8x_tool.folders import finish

_TARGET = re.compile(r"^\s*(?:override\s+)?TARGET(?:_UC)?\s*[:?]?=\s*(\S+)", re.MULTILINE)
_DEFINES = re.compile(r"""-D(\w+(?:=(?:\\.|"[^"]*"|'[^']*'|[^\s\\"'])*)?)""")
"""Definition of a name and its value, quoted for the shell."""

_LOADER = b"int cnn_load_input(const int8_t *"
_FRAME_LOADER = b"int cnn_load_input_rgb888(const uint8_t *"
_MAKEFILES = ("Makefile", "Makefile.common", "Makefile.ARM", "Makefile.RISCV", "project.mk")


@dataclass(frozen=True)
class Project:
    """A generated project. `interface` is None if its file is missing.

    `loads_inputs` is True if it has ``cnn_load_input()``, `loads_frames` if it has ``cnn_load_input_rgb888()``.
    `sources` are those of the program that uses the accelerator; `wrapper` starts the RISC-V core, None without one.
    """

    folder: Path
    device: Device
    sources: tuple[Path, ...]
    wrapper: Path | None
    defines: tuple[str, ...]
    interface: Interface | None
    loads_inputs: bool = False
    loads_frames: bool = False


def read_project(folder: Path) -> Project:
    """Return the project in `folder`. Raises Ai8xError if the folder is not a generated project."""
    if not folder.is_dir():
        raise Ai8xError("no such project folder", where=str(folder), fix="generate one with `ai8x synthesize`")
    finish(folder)
    sources = sorted([*folder.glob("*.c"), *folder.glob("src/*.c")])
    test_programs = [path for path in sources if path.stem.endswith("_riscv")]
    if not (folder / "cnn.h").is_file() or not sources:
        raise Ai8xError("not a generated project: no cnn.h", where=str(folder), fix="specify the folder of a project")
    wrapper = None
    if test_programs:
        wrapper = test_programs[0].with_name(test_programs[0].name.replace("_riscv.c", ".c"))
        if not wrapper.is_file():
            raise Ai8xError(f"the Arm core's program {wrapper.name} is missing", where=str(folder))
    header = (folder / "cnn.h").read_bytes()
    return Project(
        folder=folder,
        device=_device(folder),
        sources=tuple(path for path in sources if path != wrapper),
        wrapper=wrapper,
        defines=_defines(folder),
        interface=read_interface(folder),
        loads_inputs=_LOADER in header,
        loads_frames=_FRAME_LOADER in header,
    )


def _device(folder: Path) -> Device:
    for name in _MAKEFILES:
        path = folder / name
        found = _TARGET.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        if found:
            return find_device(found.group(1))
    raise Ai8xError("no makefile names the device", where=str(folder), fix="add a line TARGET = MAX78000")


def _defines(folder: Path) -> tuple[str, ...]:
    """Return the preprocessor definitions in the makefiles in order, except those in comments."""
    names: dict[str, None] = {}
    for name in _MAKEFILES:
        path = folder / name
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            text = "\n".join(line.partition("#")[0] for line in lines)
            names |= {"".join(shlex.split(define)): None for define in _DEFINES.findall(text)}
    return tuple(name for name in names if not name.startswith("__"))
