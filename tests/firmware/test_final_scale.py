"""Outputs with final scales, unloaded by the compiled program."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool import firmware
from ai8x_tool.codegen import ProjectOptions, render_project, write_project
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run as engine
from ai8x_tool.virtual import VirtualDevice
from tests.support.firmware_case import NEEDS_EMULATOR
from tests.support.networks import Weights, build, program, random_sample

pytestmark = NEEDS_EMULATOR


def mixed(outputs, device):
    """Return a network whose layers all read its input and are all outputs: (width, channels, final scale) of each."""
    layers, weights = [], []
    for number, (width, channels, scale) in enumerate(outputs):
        layer = {"op": "Conv2d", "pad": 1, "processors": 7, "in_sequences": -1, "in_offset": 0x1C00, "in_dim": [2, 4]}
        layer |= {"out_offset": 0x400 * number, "output_processors": (1 << channels) - 1 << 8, "output": True}
        if number == 0:
            del layer["in_sequences"]
        if width == 32:
            layer["output_width"] = 32
        if number < len(outputs) - 1:
            layer["next_sequence"] = number + 1
        layers.append(layer)
        weights.append(Weights((channels, 3, 3, 3), shift=-1, final_scale=scale))
    return build(layers, weights, (3, 2, 4), device)


# Every two of these together; compiled, all three are in the tests of generated code.
@pytest.mark.parametrize(
    ("device", "mlator", "scale_output"),
    [(MAX78000, False, True), (MAX78000, True, False), (MAX78002, True, True), (MAX78002, False, False)],
    ids=["by words, scaled", "collected", "collected, scaled", "by words"],
)
def test_values(tmp_path, device, mlator, scale_output):
    """U6: the collector delivers bytes; outputs of other widths around them keep their places."""
    network = mixed([(8, 4, 2), (8, 5, 0), (32, 3, 2), (8, 3, -2), (8, 1, 0), (32, 1, -2)], device)
    sample = random_sample(network.input_shape)
    options = ProjectOptions("scaled", "n.yaml", "n.pth.tar", mlator=mlator, scale_output=scale_output)
    made = program(network, sample=sample)
    files, _ = render_project(made.program, made.sample, options)
    assert ("byte collector" in files["cnn.c"]) == mlator
    write_project(files, tmp_path, overwrite=True)
    with firmware.open_session(firmware.build(tmp_path), VirtualDevice(device)) as session:
        found = session.infer(sample)
    expected = engine(network, sample[None]).outputs
    assert len(found) == len(network.outputs())
    for values, layer in zip(found, network.outputs(), strict=True):
        exact = expected[layer.index][0].astype(np.int64)
        scale = layer.final_scale if scale_output else 0
        np.testing.assert_array_equal(values, exact << scale if scale > 0 else exact >> -scale)
        assert values.min() < 0 < values.max()
