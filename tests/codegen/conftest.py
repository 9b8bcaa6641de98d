"""Generated projects, compiled for this machine."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
import pytest

SHIM = package_files("ai8x_tool") / "firmware" / "shim"
STUB = Path(__file__).parent / "stub"
CASTS = ["-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast"]
"""Addresses are 32 bits wide on the parts, pointers are 64 bits wide here."""
STRICT = ["-Wall", "-Wextra", "-Werror", *CASTS]


class Toolchain:
    """gcc with the headers of the emulator's shim; programs that this machine runs are built with stub headers."""

    def __init__(self, folder):
        self.folder = folder

    def _gcc(self, *arguments, headers=(STUB,)):
        include = [f"-I{folder}" for folder in (*headers, self.folder)]
        command = ["gcc", "-std=gnu11", *include, *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr

    def write(self, files):
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def check(self, files):
        """Compile every C file of the project, without linking."""
        self.write(files)
        sources = [self.folder / name for name in files if name.endswith(".c")]
        device = "MAX78002" if "= MAX78002" in files.get("Makefile.common", files["Makefile"]) else "MAX78000"
        # What only a RISC-V compiler understands: its kind of interrupt handlers.
        options = ["-fsyntax-only", *STRICT, "-Dinterrupt(x)=used", f"-DAI8X_{device}"]
        self._gcc(*options, *sources, headers=[SHIM / "include" / part for part in ("libc", "sdk")])

    def build(self, files):
        """Return a function that runs the project on this machine: mode, {address: value} -> completed process."""
        self.write(files)
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
