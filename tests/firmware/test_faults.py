"""Programs that do not end well are told from those that do, and say where they were."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware import build
from tests.support.firmware_case import NEEDS_EMULATOR

pytestmark = NEEDS_EMULATOR


@pytest.mark.parametrize(("number", "status"), [(1, 0), (2, 7), (13, 3)])
def test_exit_status(faulty, number, status):
    result = faulty(number)
    assert result.text == "hello 42\n"
    assert (result.exit_code, result.fault, result.passed) == (status, "", status == 0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (3, "an endless loop .* in main"),
        (4, "100,000 consecutive loads from 0x50100000, which does not change .* in main"),
        (14, "no progress in 10,000,000 instructions .* in main"),
        (5, "write.*unmapped.* in main"),
        (6, "protected.* in main"),
        (7, r"uses the accelerator \(0x50400000\) without power or clock .* in main"),
        (8, "exception|instruction"),
        (10, "handler of interrupt 117 does not acknowledge"),
        (11, "nothing wakes it .*interrupt is pending, but not enabled"),
    ],
)
def test_faults(faulty, number, words):
    result = faulty(number)
    assert not result.passed
    assert result.exit_code == 1
    assert re.search(words, result.fault, re.IGNORECASE), result.fault
    assert "\n" not in result.fault


@pytest.mark.parametrize("number", [15, 16, 20])
def test_passing_forever(faulty, number):
    """Many programs for small parts do not end: what counts is what they have said."""
    result = faulty(number)
    assert result.passed
    assert result.text == "hello 42\n*** PASS ***\n"


@pytest.mark.parametrize(("number", "fault"), [(17, "the program prints endlessly"), (18, ""), (19, "")])
def test_printing_forever(faulty, number, fault):
    """Ends, with what the program has said before."""
    result = faulty(number)
    assert (result.passed, result.exit_code) == (number == 18, int(number != 18))
    assert result.fault.startswith(fault)
    assert bool(result.fault) == bool(fault)
    assert len(result.text) < 2_000_000


def test_assertion(faulty):
    result = faulty(9)
    assert result.exit_code == 134
    assert "main.c:" in result.text
    assert "assertion failed: zero" in result.text


def test_printf(faulty):
    text = faulty(12).text
    line = "[  -42] [42   ] [-0042] [-2147483648] [4000000000] [beef] [00AB] [x] [  text] [%] 9 truncat\n"
    assert text == f"hello 42\n{line}-1234567890123456789 fedcba9876543210 7 4 -8\nputs\n."


def test_compile_errors(arm, tmp_path, scratch):
    """One line: the first error, and where all of them are."""
    for name in ("cnn.c", "cnn.h", "main.c", "softmax.c", "weights.h", "sampledata.h", "sampleoutput.h", "Makefile"):
        text = (arm.folder / name).read_text()
        (tmp_path / name).write_text(
            text.replace("cnn_time = 0;", "cnn_time = 0; nonsense;") if name == "cnn.c" else text
        )
    with pytest.raises(
        Ai8xError, match=r"does not compile: .*cnn\.c:\d+:\d+: error: .*nonsense.*all messages: "
    ) as caught:
        build(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    log = Path(message.rpartition("all messages: ")[2].rstrip(")"))
    assert "nonsense" in log.read_text()
    assert list(scratch.iterdir()) == [log]


def test_nothing_is_left(arm, scratch):
    built = build(arm.folder)
    assert not list(scratch.iterdir())
    assert built.images
