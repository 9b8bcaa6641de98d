"""Projects, compiled for their part."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from ai8x_tool import firmware
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.mapping import MappingOptions
from tests.support.firmware_case import Case
from tests.support.recording_bus import RecordingBus


@pytest.fixture(scope="session")
def arm(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("arm") / "project", MAX78000, MappingOptions(), softmax=True, timer=0)


@pytest.fixture(scope="session")
def riscv(tmp_path_factory):
    """A project for both cores, with its input through the fast FIFO."""
    mapping = MappingOptions(fifo=True, fast_fifo=True)
    return Case(tmp_path_factory.mktemp("riscv") / "project", MAX78002, mapping, riscv=True)


@pytest.fixture(scope="session")
def faulty():
    """The firmware of the program in ``faults/``, and the bus that selects one of its ways to end."""
    built = firmware.build(Path(__file__).with_name("faults"))

    def run(number, **options):
        bus = RecordingBus(MAX78000, {0x5040_0000: number}, **options)
        return firmware.run(built, bus)

    return run


@pytest.fixture
def other_sample(arm):
    """A sample that is not the project's own."""
    return np.random.default_rng(99).integers(-128, 128, arm.network.input_shape)


@pytest.fixture
def scratch(tmp_path_factory, monkeypatch):
    """The folder for temporary files, empty."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
