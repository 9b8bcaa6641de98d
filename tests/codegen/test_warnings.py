"""Generated projects compile without a warning with the compilers of the parts' cores; so do headers on their own."""

from __future__ import annotations

from functools import partial

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from tests.support.compilers import COMPILERS, complaints, device_of, sources, write
from tests.support.networks import program
from tests.support.project_variants import UNLOADED, project, two_outputs, variant_files, variants
from tests.support.small_projects import DEFAULT, rendered
from tests.support.turns import in_turn


def projects():
    """Yield (name, files) of projects with all kinds of options."""
    for name, device, options in variants():
        yield f"{device.name} {name}", partial(variant_files, device, options)
    for device in (MAX78000, MAX78002):
        yield f"{device.name} two outputs", partial(project, two_outputs(device))
        for name, make in UNLOADED.items():
            yield f"{device.name} {name}", partial(unloaded, make, device)


def unloaded(make, device):
    return rendered(program(make(device), DEFAULT))


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS, ids=lambda compiler: compiler.name)
def test_no_warnings(compiler, tmp_path):
    if not compiler.installed:
        pytest.skip(f"{compiler.command[0]} is not installed")
    chosen = ((name, make()) for name, make in in_turn(projects(), 11))
    assert list(complaints(compiler, chosen, tmp_path)) == []


def test_warnings_are_errors_there(tmp_path):
    """What this would not notice if compilers were called wrongly."""
    compiler = next((compiler for compiler in COMPILERS if compiler.installed), None)
    if compiler is None:
        pytest.skip("no compiler for the parts' cores")
    files = variant_files(MAX78000, {"riscv": compiler.core == "riscv"})
    write(files, tmp_path)
    code = (tmp_path / "cnn.c").read_text()
    for old, new in (("int cnn_stop(void)\n{", "int cnn_stop(void)\n{\n  int unused;"), ('#include "led.h"\n', "")):
        assert old in code
        (tmp_path / "cnn.c").write_text(code.replace(old, new))
        assert "error" in compiler.compile(tmp_path, sources(files, compiler.core), device_of(files))


@pytest.mark.parametrize("options", [{}, {"energy": True}, {"forever": True}, {"riscv": True, "riscv_debug": True}])
def test_programs_include_what_they_use(options):
    """The SDK's own mxc.h declares neither the LEDs nor, for all boards, the board."""
    files = variant_files(MAX78000, options)
    for name in (name for name in files if name.endswith(".c")):
        code = files[name].split("#include", 1)[1]
        uses_led = "LED_" in code or "CNN_START" in code or "SYS_START" in code
        assert ('#include "led.h"' in files[name]) == uses_led, name
        assert ('#include "board.h"' in files[name]) == ("Debug_Init" in code), name
