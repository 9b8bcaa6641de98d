"""Projects of golden networks, compiled for their cores: no warning, and no more code than the reference's."""

from __future__ import annotations

import re
import subprocess

import pytest

from ai8x_tool.codegen import ProjectOptions, render_project
from tests.support.compilers import COMPILERS, complaints, write
from tests.support.golden_cases import entries, golden_folder, read_case
from tests.support.turns import in_turn

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(
        not entries("accept"), reason=f"no shared reference data at {golden_folder()} (set AI8X_SHARED)"
    ),
]

LARGEST = {
    "demo-mnist": (1904, 71732),
    "demo-kws20_v3": (2828, 178340),
    "demo-cats-dogs": (2592, 58780),
    "demo-svhn_tinierssd": (9440, 337212),
}
"""Bytes of code and of constants of the reference's cnn.c for the MAX78000, with the compiler and options below."""
GCC, VERSION = COMPILERS[0], "12.2"


def project(entry, core="arm"):
    """The files of a golden network's project, whatever it is for, with a program for `core`."""
    case = read_case(golden_folder() / entry)
    chosen = {"softmax": "--softmax" in case.options, "riscv": "--riscv" in case.options or core == "riscv"}
    made = case.program()
    return render_project(
        made.program, made.sample, ProjectOptions("golden", "net.yaml", "net.pth.tar", timer=0, **chosen)
    )[0]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS, ids=lambda compiler: compiler.name)
def test_no_warnings(compiler, tmp_path):
    """A few programs, demos among them; all with --all-golden."""
    if not compiler.installed:
        pytest.skip(f"{compiler.command[0]} is not installed")
    demos = [name for name in entries("accept") if name.endswith(tuple(LARGEST))]
    cases = sorted({*in_turn(demos, 2), *in_turn(entries("accept"), 130)})
    assert list(complaints(compiler, ((e, project(e, compiler.core)) for e in cases), tmp_path)) == []


def sizes(path):
    """Return bytes of code and of constants of an object file."""
    text = subprocess.run(["arm-none-eabi-size", "-A", path], capture_output=True, text=True, check=True).stdout
    sections = re.findall(r"^(\.\w+)\S*\s+(\d+)", text, re.MULTILINE)
    return tuple(sum(int(size) for name, size in sections if name == wanted) for wanted in (".text", ".rodata"))


@pytest.mark.parametrize("name", LARGEST)
def test_code_size(tmp_path, name):
    if not GCC.installed:
        pytest.skip(f"{GCC.command[0]} is not installed")
    version = subprocess.run([GCC.command[0], "-dumpversion"], capture_output=True, text=True, check=True).stdout
    if not version.startswith(VERSION):
        pytest.skip(f"the reference's sizes are those of version {VERSION}, this is {version.strip()}")
    write(project(f"accept/max78000/{name}"), tmp_path)
    assert GCC.compile(tmp_path, ["cnn.c"], "MAX78000") == ""
    code, constants = sizes(tmp_path / "cnn.o")
    assert code <= LARGEST[name][0]
    assert constants <= LARGEST[name][1]
