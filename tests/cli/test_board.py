"""`ai8x flash` and `ai8x monitor`, against tools that record how they were called and a serial port that is none."""

from __future__ import annotations

import os
import threading

import pytest

TOOL = """#!/bin/sh
echo "$0 $*" >> {log}
{more}
"""


@pytest.fixture
def board(workspace, tmp_path, monkeypatch):
    """A project, an SDK with OpenOCD, and a make that builds; returns a function that reads the recorded calls."""
    assert workspace.synthesize("-q").exit_code == 0
    sdk, log, tools = tmp_path / "msdk", tmp_path / "calls", tmp_path / "tools"
    for folder in (sdk / "Tools/OpenOCD/scripts", tools):
        folder.mkdir(parents=True)
    build = f"mkdir -p {workspace.output}/build && touch {workspace.output}/build/out.elf"
    for path, more in ((tools / "make", build), (sdk / "Tools/OpenOCD/openocd", "exit ${OPENOCD_STATUS:-0}")):
        path.write_text(TOOL.format(log=log, more=more))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAXIM_PATH", str(sdk))
    return lambda: log.read_text().splitlines() if log.exists() else []


def test_flash(board, workspace, ai8x, tmp_path):
    result = ai8x("flash", "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "written and verified: out/build/out.elf\n"
    make, openocd = board()
    assert make.endswith(f"make -C out TARGET=MAX78000 MAXIM_PATH={tmp_path}/msdk")
    assert f"-s {tmp_path}/msdk/Tools/OpenOCD/scripts -f interface/cmsis-dap.cfg -f target/max78000.cfg" in openocd
    assert openocd.endswith(f"-c program {{{workspace.output}/build/out.elf}} verify reset exit")


def test_flash_without_building(board, workspace, ai8x):
    result = ai8x("flash", "out", "--no-build")
    assert result.exit_code == 1 and "there is no program in build/" in result.stderr and not board()


def test_tools_that_fail(board, ai8x, monkeypatch):
    monkeypatch.setenv("OPENOCD_STATUS", "1")
    result = ai8x("flash", "out", "-q")
    assert result.exit_code == 1
    assert "openocd: the step that writes the program failed: no message" in result.stderr
    monkeypatch.delenv("MAXIM_PATH")
    assert "the MSDK was not found" in ai8x("flash", "out", "-q").stderr


@pytest.fixture
def port():
    """A pseudo terminal: what the board prints is written to the first descriptor."""
    controller, terminal = os.openpty()
    yield controller, os.ttyname(terminal)
    os.close(controller)
    os.close(terminal)


def printed(controller, text):
    thread = threading.Timer(0.3, os.write, (controller, text))
    thread.start()
    return thread


@pytest.mark.parametrize(("verdict", "status"), [("PASS", 0), ("FAIL", 1)])
def test_monitor(ai8x, port, verdict, status):
    controller, name = port
    thread = printed(controller, f"*** CNN Inference Test out ***\r\n\r\n*** {verdict} ***\r\nmore".encode())
    result = ai8x("monitor", "--port", name, "--seconds", 20)
    thread.join()
    assert result.exit_code == status
    assert result.stdout.splitlines() == ["*** CNN Inference Test out ***", "", f"*** {verdict} ***"]
    assert ("the known-answer test failed" in result.stderr) is (status == 1)


def test_a_silent_board(ai8x, port):
    result = ai8x("monitor", "--port", port[1], "--seconds", 0.2)
    assert result.exit_code == 1 and "no result of the known-answer test within 0.2 seconds" in result.stderr
    result = ai8x("monitor", "--port", "/dev/nothing")
    assert result.exit_code == 1 and "/dev/nothing: cannot be opened" in result.stderr
