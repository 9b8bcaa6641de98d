"""Generated projects, compiled for this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.compilers import HEADERS, device_of, sources, write

STUB = Path(__file__).parent / "stub"
CASTS = ["-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast"]
"""Addresses are 32 bits wide on the parts, pointers are 64 bits wide here."""
STRICT = ["-Wall", "-Wextra", "-Werror", *CASTS]


class Toolchain:
    """gcc with the headers of the emulator's shim; programs that this machine runs are built with stub headers."""

    def __init__(self, folder):
        self.folder = folder

    def _gcc(self, *arguments, headers=(f"-I{STUB}",)):
        command = ["gcc", "-std=gnu11", *headers, f"-I{self.folder}", *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr

    def check(self, files):
        """Compile every C file of the project, without linking."""
        write(files, self.folder)
        for core in ("arm", "riscv"):
            names = [self.folder / name for name in sources(files, core)]
            # What only a RISC-V compiler understands: its kind of interrupt handlers.
            options = ["-fsyntax-only", *STRICT, "-Dinterrupt(x)=used", f"-DAI8X_{core.upper()}"]
            if names:
                self._gcc(*options, f"-DAI8X_{device_of(files)}", *names, headers=HEADERS)

    def build(self, files):
        """Return a function that runs the project on this machine: mode, {address: value} -> completed process."""
        write(files, self.folder)
        program = self.folder / "host"
        main = self.folder / "main.o"
        self._gcc("-w", "-Dmain=app_main", "-c", self.folder / "main.c", "-o", main)
        self._gcc("-w", STUB / "host.c", self.folder / "cnn.c", self.folder / "softmax.c", main, "-o", program)

        def run(mode, memory=(), *arguments):
            image = self.folder / "image.bin"
            pairs = np.array(list(dict(memory).items()), np.uint32).reshape(-1, 2)
            image.write_bytes(pairs.tobytes())
            command = [program, mode, *(map(str, arguments) if mode == "softmax" else [image])]
            return subprocess.run(command, capture_output=True, timeout=20, check=False)

        return run


@pytest.fixture
def toolchain(tmp_path):
    """A compiler; tests that need it are skipped where there is none."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    return Toolchain(tmp_path)
