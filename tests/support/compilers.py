"""Compilers for the parts' cores, as their users have them, and generated projects compiled with every warning."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files as package_files

SHIM = package_files("ai8x_tool") / "firmware" / "shim" / "include"
HEADERS = [f"-I{SHIM / part}" for part in ("libc", "sdk")]
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wformat", "-Wundef"]
_ALONE = ("-ffreestanding", "-fbuiltin")
_ARM = ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=softfp")
_ZIG = (sys.executable, "-m", "ziglang", "cc")


@dataclass(frozen=True)
class Compiler:
    """A compiler for one core (arm or riscv)."""

    name: str
    core: str
    command: tuple[str, ...]

    @property
    def installed(self):
        if self.command[0] == sys.executable:  # it contains clang: needed where there is no other
            return importlib.util.find_spec("ziglang") is not None and shutil.which("clang") is None
        return shutil.which(self.command[0]) is not None

    def compile(self, folder, names, device, options=()):
        """Compile files of `folder` there; return what the compiler says against it."""
        command = [*self.command, *STRICT, f"-I{folder}", *HEADERS, f"-DAI8X_{self.core.upper()}", f"-DAI8X_{device}"]
        # What gcc says depends on what it optimizes; what clang says does not.
        command += ["-O2" if "gcc" in self.command[0] else "-O0", *options, "-c", *names]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        return result.stderr if result.returncode else ""


COMPILERS = (
    Compiler("gcc, Cortex-M4", "arm", ("arm-none-eabi-gcc", "-mthumb", *_ARM, *_ALONE)),
    Compiler("clang, Cortex-M4", "arm", ("clang", "--target=thumbv7em-none-eabi", *_ARM, *_ALONE)),
    Compiler("zig cc, Cortex-M4", "arm", (*_ZIG, "-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4+soft_float")),
    Compiler("clang, RV32", "riscv", ("clang", "--target=riscv32-none-elf", "-march=rv32imc", "-mabi=ilp32", *_ALONE)),
    Compiler(
        "zig cc, RV32",
        "riscv",
        (*_ZIG, "-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c", "-mabi=ilp32"),
    ),
)


def write(files, folder):
    """Write a project's files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def sources(files, core):
    """Return the names of the C files that run on `core`."""
    both = "main_riscv.c" in files
    return [n for n in files if n.endswith(".c") and ("riscv" if both and n != "main.c" else "arm") == core]


def device_of(files):
    """Return the part of a project."""
    return "MAX78002" if "= MAX78002" in files.get("Makefile.common", files["Makefile"]) else "MAX78000"


def complaints(compiler, projects, folder):
    """Compile projects, (name, files), each in a folder of its own; yield (name, what the compiler says)."""

    def compile_one(project):
        name, files = project
        place = folder / name.replace("/", "-")
        write(files, place)
        names = sources(files, compiler.core)
        said = compiler.compile(place, names, device_of(files)) if names else ""
        shutil.rmtree(place)
        return name, said

    with ThreadPoolExecutor(2) as pool:
        yield from (result for result in pool.map(compile_one, projects) if result[1])
