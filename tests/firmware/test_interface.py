"""What a project says about its input and outputs is what the synthesizer does with them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.interface import read_interface
from tests.support.networks import Weights, build, program, random_sample


def layer(processors, channels):
    keys = {"op": "Conv2d", "pad": 1, "processors": processors, "out_offset": 0x2000}
    return [keys], [(8, channels, 3, 3)]


def interface(lowered, folder, **options):
    text = render_project(
        lowered.program, lowered.sample, ProjectOptions("test", "net.yaml", "net.pth.tar", **options)
    )[0]["interface.json"]
    (folder / "interface.json").write_text(text)
    return read_interface(folder)


def two_outputs():
    layers = [
        {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x2000, "output": True},
        {"op": "Conv2d", "pad": 1, "processors": 0xFF, "out_offset": 0x4000, "output": True, "output_width": 32},
    ]
    return build(layers, [Weights((8, 3, 3, 3)), (6, 8, 3, 3)], (3, 4, 2))


def test_outputs(tmp_path):
    """One after the other, channel by channel: bytes and words."""
    read = interface(program(two_outputs()), tmp_path)
    first = np.arange(-32, 32, dtype=np.int8)
    second = np.arange(48, dtype="<i4") * -100_000
    outputs = read.split_output(first.tobytes() + second.tobytes())
    assert [output.shape for output in outputs] == [(8, 4, 2), (6, 4, 2)]
    assert [output.reshape(-1).tolist() for output in outputs] == [first.tolist(), second.tolist()]


def test_nothing_in_it_is_trained(tmp_path):
    """Projects of retrained networks differ in the files that hold what was trained, and in no others."""

    def files(seed):
        layers, _ = layer(7, 3)
        weights = np.random.default_rng(seed).integers(-128, 128, (8, 3, 3, 3))
        network = build(layers, [Weights(weights)], (3, 4, 2))
        made = program(network)
        return render_project(made.program, made.sample, ProjectOptions("test", "net.yaml", "net.pth.tar"))[0]

    first, second = files(1), files(2)
    assert {name for name in first if first[name] != second[name]} == {"weights.h", "sampleoutput.h"}


def test_what_cannot_be_fed(tmp_path):
    network = build(*layer(7, 3), (3, 4, 4))
    read = interface(program(network), tmp_path, unload=False)
    assert read.outputs is None
    with pytest.raises(Ai8xError, match=r"^here: the sample is 3×5×4, this project takes 3×4×4"):
        read.sample_bytes(random_sample((3, 5, 4)), "here")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "ai8x-interface/9"},
        {"input_shape": [3, 4]},
        {"outputs": [{"shape": [1, 1, 1], "bits": 24, "start": 0}]},
        {"outputs": 7},
        {"continue": None},
        {"continue": 10**9},
        {"continue": -1},
        {"continue": True},
        {"estimated_us": "nan"},
        {"estimated_us": 1e300},
        {"estimated_us": -1},
        {"input_shape": [3, -4, 2]},
        {"input_shape": [3, 10**30, 2]},
        {"input_shape": "345"},
        {"outputs": [{"shape": [1, 1, 0], "bits": 8, "start": 0}]},
        {"outputs": [{"shape": [1, 1, 1], "bits": 8, "start": -8}]},
        {"outputs": [{"shape": [1, 1, 1], "bits": [8], "start": 0}]},
    ],
)
def test_damaged_files(tmp_path, change):
    interface(program(build(*layer(7, 3), (3, 3, 5))), tmp_path)
    path = tmp_path / "interface.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Ai8xError, match=r"interface\.json: invalid, or written by another version"):
        read_interface(tmp_path)
    path.write_text("[")
    with pytest.raises(Ai8xError):
        read_interface(tmp_path)


def test_more_output_than_there_is(tmp_path):
    read = interface(program(build(*layer(7, 3), (3, 4, 4))), tmp_path)
    whole = read.split_output(bytes(1 << 16))
    with pytest.raises(Ai8xError, match=r"cnn_unload\(\) writes less than interface\.json describes: 3 bytes"):
        read.split_output(bytes(3))
    assert whole
