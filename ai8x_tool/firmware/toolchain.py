"""C compilers: the cross-compiler that pip installs, or one installed on the system."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ai8x_tool.errors import Ai8xError

_ARM_GCC = ("arm-none-eabi-gcc",)
_RISCV_GCC = ("riscv-none-elf-gcc", "riscv64-unknown-elf-gcc", "riscv32-unknown-elf-gcc", "riscv-none-embed-gcc")
_COMMON = (
    *("-std=gnu11", "-UNDEBUG", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables"),
    *("-fno-asynchronous-unwind-tables", "-fomit-frame-pointer", "-fno-stack-protector", "-fno-common"),
)
_ZIG = {
    "arm": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4+soft_float"),
    "riscv": ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c", "-mabi=ilp32"),
}
_GCC = {
    "arm": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"),
    "riscv": ("-march=rv32imc_zicsr", "-mabi=ilp32"),
}
_ALONE = ("-ffreestanding", "-fbuiltin")
"""A gcc may lack the headers of a C library; its own headers suffice."""
_INSTALL = "pip install 'ai8x-tool[virtual]'"


@dataclass(frozen=True)
class Toolchain:
    """A C compiler for one core (``arm``, ``riscv`` or ``host``) with the options that choose the core."""

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...]

    def run(self, arguments: list[str], log: list[str], folder: Path) -> bool:
        """Run the compiler in `folder` and append its messages to `log`; return whether it succeeded."""
        caches = {name: str(folder / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
        command = [*self.command, *self.flags, *arguments]
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=folder, env=os.environ | caches, check=False
        )
        log.append(f"$ {' '.join(command)}\n{result.stdout}{result.stderr}")
        return result.returncode == 0


def find_toolchain(core: str) -> Toolchain:
    """Return the compiler for `core`: that of the package ziglang, or gcc. Raises Ai8xError without one."""
    if core == "host":
        return _host()
    if importlib.util.find_spec("ziglang") is not None:
        return Toolchain("zig cc", (sys.executable, "-m", "ziglang", "cc"), (*_ZIG[core], *_COMMON))
    for name in _ARM_GCC if core == "arm" else _RISCV_GCC:
        path = shutil.which(name)
        if path:
            return Toolchain(name, (path,), (*_gcc_flags(core, path), *_ALONE, *_COMMON))
    part = "Cortex-M4" if core == "arm" else "RISC-V core"
    raise Ai8xError(f"there is no C compiler for the {part}", fix=_INSTALL)


def _gcc_flags(core: str, path: str) -> tuple[str, ...]:
    """Return the options for `core`; compilers before version 12 do not accept the extension name Zicsr."""
    flags = _GCC[core]
    check = [path, *flags, "-fsyntax-only", "-x", "c", os.devnull]
    known = subprocess.run(check, capture_output=True, cwd=tempfile.gettempdir(), check=False).returncode == 0
    return flags if known else tuple(flag.replace("_zicsr", "") for flag in flags)


def _host() -> Toolchain:
    """Return this computer's compiler, which reports memory accesses through the thread sanitizer's interface."""
    path = shutil.which(os.environ.get("CC", "cc"))
    if path is None:
        raise Ai8xError("there is no C compiler on this computer", fix="install gcc or clang, or leave out --host")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    clang = "clang" in version
    flags = ("-mllvm", "-tsan-distinguish-volatile=1") if clang else ("--param", "tsan-distinguish-volatile=1")
    return Toolchain("clang" if clang else "gcc", (path,), ("-std=gnu11", "-O1", *flags))
