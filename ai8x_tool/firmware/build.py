"""Compilation of a project, unchanged, against the shim."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ai8x_tool.device import Device
from ai8x_tool.device.facts import FLASH_START
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import temporary_folder
from ai8x_tool.firmware.image import Image, read_image
from ai8x_tool.firmware.project import Project, read_project
from ai8x_tool.firmware.toolchain import Toolchain, find_toolchain

SHIM = Path(__file__).with_name("shim")
SRAM_START = 0x2000_0000
_RISCV_SRAM = 64 * 1024
"""SRAM of the RISC-V core, at the end of the SRAM; a quarter of it is reserved for code."""
_MARKS = ("overflowed", "undefined", "error:")
"""Texts that mark the line which names an error, the most specific first."""
_PACKAGES = ("unicorn", "elftools")
_PHASE = b"load_input"
"""Files with this function are compiled without inlining, so that it is a separate phase."""
_BOUNDARY = 0x400
"""Alignment of the RISC-V core's program in bytes."""


@dataclass(frozen=True)
class Firmware:
    """A compiled project. `images`: that of the core that uses the accelerator, then the Arm core's wrapper, if any.

    With `--host`, there are no images; the program is `host`.
    """

    project: Project
    compiler: str
    images: tuple[Image, ...] = ()
    host: Path | None = None

    @property
    def device(self) -> Device:
        """The device that the project is for."""
        return self.project.device

    def sram(self, image: Image) -> tuple[int, int]:
        """Return start and size in bytes of the SRAM that belongs to the program of `image`."""
        return _sram(self.device, image.core, alone=len(self.images) == 1)


def _sram(device: Device, core: str, *, alone: bool) -> tuple[int, int]:
    if core == "arm":
        return SRAM_START, device.sram_size - (0 if alone else _RISCV_SRAM)
    return SRAM_START + device.sram_size - _RISCV_SRAM, _RISCV_SRAM * 3 // 4


def build(folder: Path, *, host: bool = False) -> Firmware:
    """Compile the project in `folder` for its device or, with `host`, for this computer.

    Nothing is written to the folder, except that an interrupted `ai8x synthesize` is completed. Raises Ai8xError if
    there is no compiler, and for compilation errors: the message names the first error, and the file with all messages
    of the compiler.
    """
    project = read_project(folder)
    if host:
        return _build_for_host(project)
    with temporary_folder(Path(tempfile.gettempdir())) as scratch:
        builder = _Builder(project, scratch)
        if any(importlib.util.find_spec(name) is None for name in _PACKAGES):
            raise Ai8xError("there is no emulator", fix="pip install 'ai8x-tool[virtual]', or use --host")
        arm = find_toolchain("arm")
        if project.wrapper is None:
            return Firmware(project, arm.name, (builder.program("arm", arm, project.sources, FLASH_START),))
        riscv = find_toolchain("riscv")
        wrapper = builder.program("arm", arm, (project.wrapper,), FLASH_START)
        start = wrapper.symbols["__FlashStart_"]
        return Firmware(project, riscv.name, (builder.program("riscv", riscv, project.sources, start), wrapper))


def _build_for_host(project: Project) -> Firmware:
    """Compile `project` for this computer; the program's file exists as long as the result."""
    compiler = find_toolchain("host")
    with contextlib.ExitStack() as files:
        scratch = files.enter_context(temporary_folder(Path(tempfile.gettempdir())))
        firmware = Firmware(project, compiler.name, host=_Builder(project, scratch).host(compiler))
        weakref.finalize(firmware, files.pop_all().close)
    return firmware


@dataclass(frozen=True)
class _Builder:
    project: Project
    folder: Path

    def program(self, core: str, compiler: Toolchain, sources: tuple[Path, ...], start: int) -> Image:
        """Compile and link the program of one core; its flash begins at `start`."""
        shim = tuple(SHIM / name for name in ("console.c", "libc.c", "sdk.c", "target.c", f"{core}.c"))
        script = self.folder / f"{core}.ld"
        script.write_text(self._linker_script(core, start), encoding="utf-8")
        include = self._include("libc", "sdk")
        objects = self._compile(core, compiler, sources, ("-O2",), include)
        objects += self._compile(core, compiler, shim, ("-Os", "-ffreestanding", "-fno-builtin"), include)
        program = self.folder / f"{core}.elf"
        called = ["shim_wait", *(["cnn_load_input"] if self.project.loads_inputs else [])]
        called += ["cnn_load_input_rgb888"] if self.project.loads_frames else []
        needed = [] if sources == (self.project.wrapper,) else [f"-Wl,-u,{name}" for name in called]
        options = ["-nostdlib", f"-Wl,-T,{script}", "-Wl,--gc-sections", *needed]
        self._run(compiler, [*options, *map(str, objects), "-o", str(program)])
        return read_image(program, core)

    def host(self, compiler: Toolchain) -> Path:
        """Compile and link the program for this computer."""
        redirect = ("-fsanitize=thread", "-Dmain=app_main", "-Dinterrupt(x)=used", "-w")
        objects = self._compile("host", compiler, self.project.sources, redirect, self._include("libc", "sdk"))
        objects += self._compile(
            "host", compiler, (SHIM / "console.c",), ("-w", "-fno-builtin"), self._include("libc", "sdk")
        )
        shim = (SHIM / "sdk.c", SHIM / "host.c")
        objects += self._compile("host", compiler, shim, ("-w",), self._include("sdk"))
        program = self.folder / "program"
        self._run(compiler, [*map(str, objects), "-o", str(program)])
        return program

    def _include(self, *parts: str) -> list[str]:
        own = self.project.folder.resolve()
        return [f"-I{own}", f"-I{own / 'include'}", *(f"-I{SHIM / 'include' / part}" for part in parts), f"-I{SHIM}"]

    def _compile(
        self, core: str, compiler: Toolchain, sources: tuple[Path, ...], options: tuple[str, ...], include: list[str]
    ) -> list[Path]:
        names = [f"-D{name}" for name in self.project.defines] if sources[0].parent != SHIM else []
        names += [f"-DAI8X_{core.upper()}", f"-DAI8X_{self.project.device.name}"]
        part = "shim" if sources[0].parent == SHIM else "project"
        targets = [self.folder / f"{core}-{part}-{number}-{source.stem}.o" for number, source in enumerate(sources)]

        def compile_one(source: Path, target: Path) -> None:
            whole = ["-fno-inline"] if _PHASE in source.read_bytes() else []
            self._run(compiler, [*options, *whole, *names, *include, "-c", str(source.resolve()), "-o", str(target)])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, sources, targets))
        return targets

    def _linker_script(self, core: str, start: int) -> str:
        device, wrapper = self.project.device, self.project.wrapper
        sram_start, sram_size = _sram(device, core, alone=wrapper is None)
        values = {
            "ENTRY": "shim_start" if core == "arm" else "shim_reset",
            "FLASH_START": hex(start),
            "FLASH_SIZE": hex(FLASH_START + device.flash_size - start),
            "SRAM_START": hex(sram_start),
            "SRAM_SIZE": hex(sram_size),
            "NEXT": f"ALIGN(LOADADDR(.data) + SIZEOF(.data), {_BOUNDARY:#x})",
        }
        text = (SHIM / "memory.ld").read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def _run(self, compiler: Toolchain, arguments: list[str]) -> None:
        log: list[str] = []
        if compiler.run(arguments, log, self.folder):
            return
        handle, name = tempfile.mkstemp(prefix="ai8x-build-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(log)
        lines = "".join(log).splitlines()[1:]
        first = next((line for mark in _MARKS for line in lines if mark in line), lines[0] if lines else "")
        where = str(self.project.folder)
        raise Ai8xError(f"the project does not compile: {first.strip()}", where=where, fix=f"all messages: {name}")
