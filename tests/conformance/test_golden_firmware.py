"""Golden networks as compiled programs: the core's stores, in order and size, are those of the reference generator."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool import firmware
from ai8x_tool.codegen import ProjectOptions, write_project
from ai8x_tool.synthesis.synthesize import SynthesisOptions, synthesize
from tests.support.firmware_case import NEEDS_CC, NEEDS_EMULATOR
from tests.support.golden_cases import entries, golden_folder, read_case
from tests.support.networks import QUIET
from tests.support.recording_bus import RecordingBus

pytestmark = pytest.mark.golden

CASES = (
    "max78000/demo-mnist_nomexpress",
    "max78000/demo-mnist-riscv",
    "max78002/fifostream-pool-hwc__fifo",
    "max78002/fifostream-nonsquare-hwc__fastfifo",
)


def run(name, folder, *, host):
    """Return the case's stores, those of its firmware, and how this ended."""
    path = f"accept/{name}"
    if path not in entries("accept"):
        pytest.skip(f"no shared reference data at {golden_folder()} (set AI8X_SHARED)")
    case = read_case(golden_folder() / path)
    options = SynthesisOptions(mapping=case.mapping_options(), lowering=case.lowering_options())
    project = ProjectOptions("golden", "network.yaml", "checkpoint", riscv="--riscv" in case.options)
    result = synthesize(case.network_file, case.checkpoint, case.sample, case.device, project, options, QUIET)
    write_project(result.files, folder, overwrite=False)
    golden = np.load(case.folder / "golden.npz")
    bus = RecordingBus(case.device, zip(golden["out_addr"].tolist(), golden["out_value"].tolist(), strict=True))
    ended = firmware.run(firmware.build(folder, host=host), bus)
    columns = (golden[key].tolist() for key in ("addr", "value", "width"))
    return list(zip(*columns, strict=True)), bus.stores, ended


def check(expected, actual, ended):
    different = [(i, a, b) for i, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b]
    assert different[:3] == []
    assert len(actual) >= len(expected)
    assert (ended.exit_code, ended.fault) == (0, "")
    assert "*** PASS ***" in ended.text


@NEEDS_EMULATOR
@pytest.mark.parametrize("name", CASES)
def test_on_its_core(name, tmp_path):
    check(*run(name, tmp_path / "project", host=False))


@NEEDS_CC
@pytest.mark.parametrize("name", CASES[1:3])
def test_on_this_machine(name, tmp_path):
    check(*run(name, tmp_path / "project", host=True))
