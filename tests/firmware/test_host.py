"""The same programs, executed by this machine."""

from __future__ import annotations

import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware import open_session, run
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
