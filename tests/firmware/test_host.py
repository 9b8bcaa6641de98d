"""The same programs, executed by this machine."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess

import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware import build, open_session, run
from tests.support.firmware_case import NEEDS_CC

pytestmark = NEEDS_CC


@pytest.fixture(params=["arm", "riscv"])
def case(request):
    return request.getfixturevalue(request.param)


def test_passes(case):
    bus, lines = case.bus(), []
    result = run(case.firmware(host=True), bus, console_out=lines.append)
    assert (result.exit_code, result.fault) == (0, "")
    assert "*** PASS ***\n" in lines
    expected = case.stores()
    assert bus.stores[: len(expected)] == expected


def test_fails(case):
    bus = case.bus()
    bus.memory[min(bus.memory)] ^= 1
    result = run(case.firmware(host=True), bus)
    assert (result.exit_code, result.fault) == (1, "")
    assert result.text.strip().endswith("*** FAIL ***")


def test_network_that_never_ends(arm):
    result = run(arm.firmware(host=True), arm.bus(never=True))
    assert not result.passed
    assert "nothing wakes it" in result.fault


def test_other_sample(case, other_sample):
    bus = case.bus()
    with open_session(case.firmware(host=True), bus) as session:
        assert session.run().passed
        other = case.bus(case.lowered(other_sample))
        bus.memory.update(other.memory)
        outputs = session.infer(other_sample)
    assert [output.tolist() for output in outputs] == [case.output(other_sample).tolist()]


def test_sample_that_does_not_fit(arm, other_sample):
    with open_session(arm.firmware(host=True), arm.bus()) as session, pytest.raises(Ai8xError) as caught:
        session.infer(other_sample[:2], "two.npy")
    assert str(caught.value) == "two.npy: the sample is 2×4×4, this project takes 3×4×4"


def with_code(case, tmp_path, code):
    """Return a copy of a case's project whose program does something else first."""
    folder = tmp_path / "project"
    shutil.copytree(case.folder, folder)
    main, start = folder / "main.c", "int main(void)\n{\n"
    main.write_text(main.read_text().replace(start, start + code))
    return folder


@pytest.mark.parametrize(
    ("first", "again", "passed", "fault"),
    [
        ("", "again\\n", False, "the program prints endlessly"),
        ("*** PASS ***\\n", ".", True, ""),
        ("*** FAIL ***\\n", "\\n", False, ""),
    ],
)
def test_printing_forever(arm, tmp_path, first, again, passed, fault):
    folder = with_code(arm, tmp_path, f'printf("{first}"); while (1) printf("{again}");')
    result = run(build(folder, host=True), arm.bus())
    assert (result.passed, result.exit_code, result.fault) == (passed, int(not passed), fault)
    assert len(result.text) < 2_000_000


def test_nothing_is_left(arm, scratch):
    built = build(arm.folder, host=True)
    with open_session(built, arm.bus()) as session:
        assert session.run().passed
    assert len(list(scratch.iterdir())) == 1
    del session, built
    gc.collect()
    assert not list(scratch.iterdir())


def test_killed_runs(arm, tmp_path, scratch):
    """Neither files nor programs outlive them: the next build removes what they left."""
    folder = with_code(arm, tmp_path, "while (1) { }")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        built = build(folder, host=True)
        command = [built.host, str(writing), "1", str(os.getpid())]
        endless = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writing])
        os.write(writing, f"{endless.pid}\n".encode())
        signal.pause()
    with os.fdopen(reading) as pipe:
        os.close(writing)
        pipe.readline()
        assert len(list(scratch.iterdir())) == 1
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert pipe.read() == ""  # comes when no process has the other end
    build(arm.folder, host=True)
    gc.collect()
    assert not list(scratch.iterdir())
