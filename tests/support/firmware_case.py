"""Small networks as projects in folders, compiled when they are needed."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from ai8x_tool import firmware
from ai8x_tool.codegen import ProjectOptions, render_project, write_project
from ai8x_tool.engine import run as engine
from ai8x_tool.lowering import LoweringOptions
from tests.support.networks import Weights, build, program, random_sample
from tests.support.recording_bus import RecordingBus

NEEDS_EMULATOR = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("unicorn", "ziglang", "elftools")),
    reason="the extra `virtual` is not installed",
)
NEEDS_CC = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")


class Case:
    """A small network, its project in a folder, and its firmware for the part or for this machine."""

    def __init__(self, folder, device, mapping, **options):
        layers = [
            {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x2000, "activate": "ReLU"},
            {"op": "Linear", "flatten": True, "processors": 0xFF, "out_offset": 0x1000, "output_width": 32},
        ]
        weights = [
            Weights((8, 3, 3, 3), shift=-1),
            Weights((10, 128, 1, 1), [10 * i - 50 for i in range(10)], shift=-1),
        ]
        self.folder, self.device, self._mapping = folder, device, mapping
        self.network = build(layers, weights, (3, 4, 4), device)
        self.program = self.lowered(random_sample(self.network.input_shape))
        files, _ = render_project(
            self.program.program, self.program.sample, ProjectOptions("small", "net.yaml", "net-q.pth.tar", **options)
        )
        write_project(files, folder, overwrite=False)
        self._built = {}

    def lowered(self, sample):
        return program(self.network, self._mapping, LoweringOptions(), sample)

    def output(self, sample):
        """Return what the network computes: (channels, rows, columns)."""
        return engine(self.network, sample[None]).last[0]

    def firmware(self, *, host=False):
        if host not in self._built:
            self._built[host] = firmware.build(self.folder, host=host)
        return self._built[host]

    def bus(self, lowered=None, **options):
        """Return a bus whose data memory holds the known answers of `lowered`."""
        answers = (lowered or self.program).answers
        memory = {b.address + 4 * i: v for b in answers for i, v in enumerate(b.values.tolist())}
        return RecordingBus(self.device, memory, **options)

    def stores(self):
        """Return the stores that the program should make until the network runs."""
        stores = self.program.stores()
        columns = (stores.addresses.tolist(), stores.values.tolist(), stores.sizes.tolist())
        return list(zip(*columns, strict=True))
