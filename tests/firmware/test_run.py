"""The program on its core: what it stores, what it prints, how it ends, what is counted."""

from __future__ import annotations

import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware import open_session, run
from tests.support.firmware_case import NEEDS_EMULATOR

pytestmark = NEEDS_EMULATOR


@pytest.fixture(params=["arm", "riscv"])
def case(request):
    return request.getfixturevalue(request.param)


def test_passes(case):
    """The stores of the compiled program are those of the program it was rendered from, in order."""
    bus, lines = case.bus(), []
    result = run(case.firmware(), bus, console_out=lines.append)
    assert (result.exit_code, result.fault) == (0, "")
    assert result.passed
    assert "*** PASS ***\n" in lines
    assert "".join(lines) == result.text
    expected = case.stores()
    assert bus.stores[: len(expected)] == expected


def test_wrong_output_fails(case):
    bus = case.bus()
    bus.memory[min(bus.memory)] ^= 1
    result = run(case.firmware(), bus)
    assert not result.passed
    assert (result.exit_code, result.fault) == (1, "")
    assert f"Data mismatch at address 0x{min(bus.memory):08x}" in result.text
    assert result.text.endswith("*** FAIL ***\n\n")


def test_network_that_never_ends(case):
    result = run(case.firmware(), case.bus(never=True))
    assert not result.passed
    assert "sleeps and nothing wakes it" in result.fault
    assert "has not signalled completion" in result.fault


def test_counts(case):
    """Every store is counted in its phase; the same program takes the same instructions each time."""
    first, second = run(case.firmware(), case.bus()), run(case.firmware(), case.bus())
    assert first == second
    phases = {phase.name: phase for phase in first.phases}
    words = sum(len(block.words) + 1 for block in case.program.kernels)
    assert phases["load kernels"].stores == words
    assert phases["load biases"].stores == sum(map(len, case.program.bias.values()))
    assert phases["configure"].stores == len(case.program.configure)
    assert phases["load input"].stores == sum(len(block.words) for block in case.program.inputs)
    assert phases["start"].stores == len(case.program.start) + len(case.program.go)
    answers = sum(len(block.values) for block in case.program.answers)
    assert phases["check output"].loads == phases["unload"].loads == answers
    assert first.instructions == sum(phase.instructions for phase in first.phases)
    assert all(phase.instructions > phase.stores + phase.loads for phase in first.phases)


def test_memory(case):
    use = run(case.firmware(), case.bus()).memory
    assert [part.core for part in use] == (["arm"] if len(use) == 1 else ["riscv", "arm"])
    words = sum(len(block.words) + 2 for block in case.program.kernels) + 1
    assert use[0].sizes.constants >= 4 * words
    assert 0 < use[0].stack < 1024
    assert use[0].sizes.static >= 40  # the output buffer
    assert use[0].flash_size == case.device.flash_size


def test_time(arm):
    """The timer shows the estimate that came with the project; the program's own instructions add little to it."""
    lines = run(arm.firmware(), arm.bus()).text.splitlines()
    shown = next(int(line.split()[-2]) for line in lines if line.startswith("Approximate inference time"))
    estimate = arm.firmware().project.interface.estimated_us
    assert estimate - 1 <= shown <= estimate + 10


def test_other_sample(case, other_sample):
    """The words of another sample go where the program's own went, and its outputs come back."""
    other, bus = case.lowered(other_sample), case.bus()
    with open_session(case.firmware(), bus) as session:
        result = session.run()
        before = result.instructions
        bus.stores.clear()
        bus.memory.update(case.bus(other).memory)
        first, second = session.infer(other_sample), session.infer(other_sample)
    assert result.passed
    assert result.instructions == before
    expected = [case.output(other_sample).tolist()]
    assert [output.tolist() for output in first] == [output.tolist() for output in second] == expected
    fed = [value for address, value, _ in bus.stores if any(is_input(block, address) for block in other.inputs)]
    assert fed == 2 * [word for block in other.inputs for word in block.words.tolist()]


def is_input(block, address):
    """Whether a store to `address` is one of an input array, or to the fast FIFO."""
    if block.address:
        return block.address <= address < block.address + 4 * len(block.words)
    return address == 0x400C_0410


def test_errors_of_the_accelerator_come_through(arm):
    bus = arm.bus()

    def refuse(address, value, size):
        raise Ai8xError("the accelerator refuses")

    bus.write = refuse
    with pytest.raises(Ai8xError, match=r"^the accelerator refuses$"):
        run(arm.firmware(), bus)
