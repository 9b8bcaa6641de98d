"""The process that compiles and runs a project while the other links are verified."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.engine import LayerTensors, run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.synthesis.synthesize import SynthesisOptions
from ai8x_tool.verification.firmware_process import FirmwareProcess
from tests.support.firmware_case import NEEDS_EMULATOR
from tests.support.networks import QUIET, Weights, build, random_sample, synthesized

pytestmark = NEEDS_EMULATOR
SAMPLES = 12


@pytest.fixture(scope="module")
def project():
    """A layer whose outputs for all samples, 192 kB, are more than a pipe holds."""
    layer = {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x2000, "activate": "ReLU"}
    network = build([layer], [Weights((16, 3, 3, 3), shift=-1)], (3, 32, 32))
    options = ProjectOptions("small", "net.yaml", "net-q.pth.tar")
    return synthesized(network, random_sample((3, 32, 32)), options, SynthesisOptions(), QUIET)


@pytest.fixture(scope="module")
def samples(project):
    values = np.stack([random_sample((3, 32, 32), seed) for seed in range(SAMPLES)]).astype(np.int8)
    return values, run(project.network, values)


def checked(project, values, tensors):
    with FirmwareProcess(project) as firmware:
        firmware.start(values)
        return firmware.result(tensors, QUIET)


def test_equal_outputs(project, samples):
    check = checked(project, *samples)
    assert check.equal
    assert check.text().endswith(f"outputs of {SAMPLES} samples equal to the engine's")


def test_differences(project, samples):
    values, tensors = samples
    wrong = tensors.outputs[0].copy()
    wrong[2, 5, 3, 1] += 1
    wrong[7] = 0
    check = checked(project, values, LayerTensors({0: wrong}, tensors.order))
    assert not check.equal
    assert (check.passed, check.samples, check.different) == (True, SAMPLES, 2)
    assert check.first.startswith("sample 2, output 0, channel 5, row 3, column 1: the firmware has ")


def test_a_project_that_does_not_compile(project, samples):
    broken = replace(project, files={**project.files, "main.c": "int main(void) { return missing; }\n"})
    with pytest.raises(Ai8xError, match=r"the project does not compile: .*missing"):
        checked(broken, *samples)


def test_a_program_that_fails_runs_no_samples(project, samples):
    answers = project.files["sampleoutput.h"].replace("0x00000", "0x00001")
    check = checked(replace(project, files={**project.files, "sampleoutput.h": answers}), *samples)
    assert (check.passed, check.equal, check.samples) == (False, False, 0)
    assert "FAIL" in check.text()


def test_a_process_that_is_killed(project, samples):
    values, tensors = samples
    with FirmwareProcess(project) as firmware:
        os.kill(firmware._process.pid, signal.SIGKILL)
        firmware._process.join()
        firmware.start(values)
        with pytest.raises(Ai8xError, match=r"ended early \(status -9\) \(free memory, or add --no-firmware\)"):
            firmware.result(tensors, QUIET)


def test_leaving_early_ends_the_process(project, samples):
    with pytest.raises(KeyError), FirmwareProcess(project) as firmware:
        firmware.start(samples[0])
        raise KeyError
    assert firmware._process.exitcode == 0
