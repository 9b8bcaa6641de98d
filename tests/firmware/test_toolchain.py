"""Which compiler is used, and what is said where there is none."""

from __future__ import annotations

import shutil

import pytest

from ai8x_tool import firmware
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware import toolchain
from tests.support.firmware_case import NEEDS_EMULATOR


@pytest.fixture
def without_ziglang(monkeypatch):
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(("core", "part"), [("arm", "Cortex-M4"), ("riscv", "RISC-V core"), ("host", "this computer")])
def test_no_compiler(monkeypatch, without_ziglang, core, part):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Ai8xError) as caught:
        toolchain.find_toolchain(core)
    message = str(caught.value)
    assert part in message
    assert ("pip install 'ai8x-tool[virtual]'" in message) == (core != "host")


def test_no_emulator(without_ziglang, arm):
    with pytest.raises(Ai8xError, match=r"no emulator \(pip install 'ai8x-tool\[virtual\]', or use --host\)"):
        firmware.build(arm.folder)


@NEEDS_EMULATOR
@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_installed_gcc(monkeypatch, arm):
    """Another compiler's program makes the same stores."""
    real = toolchain.importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(toolchain.importlib.util, "find_spec", lambda name: None if name == "ziglang" else real(name))
        built = firmware.build(arm.folder)
    assert built.compiler == "arm-none-eabi-gcc"
    bus = arm.bus()
    assert firmware.run(built, bus).passed
    expected = arm.stores()
    assert bus.stores[: len(expected)] == expected
