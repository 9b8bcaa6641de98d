"""Generated projects, compiled for this machine."""

from __future__ import annotations

import hashlib
import re
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

    def __init__(self, folder, objects):
        self.folder, self.objects = folder, objects

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

    def _object(self, source):
        """Return the object file of a C file; those of equal sources and headers are compiled once."""
        code = source.read_bytes()
        headers = [self.folder / name.decode() for name in re.findall(rb'#include "(.+?)"', code)]
        texts = [code, *(header.read_bytes() for header in headers if header.is_file())]
        path = self.objects / f"{source.stem}-{hashlib.sha256(b'|'.join(texts)).hexdigest()}.o"
        if not path.is_file():
            self._gcc("-w", *(["-Dmain=app_main"] if source.name == "main.c" else []), "-c", source, "-o", path)
        return path

    def build(self, files):
        """Return a function that runs the project on this machine: mode, {address: value} -> completed process."""
        write(files, self.folder)
        program = self.folder / "host"
        names = (STUB / "host.c", *(self.folder / name for name in ("cnn.c", "softmax.c", "main.c")))
        self._gcc(*(self._object(name) for name in names), "-o", program)

        def run(mode, memory=(), *arguments):
            image = self.folder / "image.bin"
            pairs = np.array(list(dict(memory).items()), np.uint32).reshape(-1, 2)
            image.write_bytes(pairs.tobytes())
            command = [program, mode, *(map(str, arguments) if mode == "softmax" else [image])]
            return subprocess.run(command, capture_output=True, timeout=20, check=False)

        return run


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """A folder of object files that several tests link."""
    return tmp_path_factory.mktemp("objects")


@pytest.fixture
def toolchain(tmp_path, objects):
    """A compiler; tests that need it are skipped where there is none."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    return Toolchain(tmp_path, objects)
