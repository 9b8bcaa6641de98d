"""What a project says about its input and outputs is what the synthesizer does with them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.interface import read_interface
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.lowering.options import SynthesizedInput
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import Weights, build, program, random_sample

MEMORY, FIFO = MappingOptions(), MappingOptions(fifo=True)
FAST = MappingOptions(fifo=True, fast_fifo=True)


def layer(processors, channels, kernels=8, **keys):
    keys = {"op": "Conv2d", "pad": 1, "processors": processors, "out_offset": 0x2000, **keys}
    return [keys], [(kernels, channels, 3, 3)]


LAYOUTS = {
    "HWC": (layer(0b10110111, 6), (6, 3, 5), MEMORY),
    "HWC, three passes": (layer((1 << 48) - 1, 144), (144, 2, 3), MEMORY),
    "HWC, two operands": (
        ([{"op": "Add", "operands": 2, "processors": 0x7, "out_offset": 0x2000}], []),
        (6, 3, 5),
        MEMORY,
    ),
    "CHW": (layer(0x111, 3, data_format="CHW"), (3, 3, 5), MEMORY),
    "FIFO, HWC": (layer(0x7, 3), (3, 3, 5), FIFO),
    "four FIFOs, HWC": (layer(0x0003_000F_000F_000F, 14), (14, 3, 5), FIFO),
    "FIFO, CHW": (layer(0x0000_0001_0001_0001, 3, data_format="CHW"), (3, 3, 5), FIFO),
    "fast FIFO": (layer(0xF, 4), (4, 3, 5), FAST),
}


def interface(lowered, folder, **options):
    text = render_project(
        lowered.program, lowered.sample, ProjectOptions("test", "net.yaml", "net.pth.tar", **options)
    )[0]["interface.json"]
    (folder / "interface.json").write_text(text)
    return read_interface(folder)


@pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)
@pytest.mark.parametrize("name", LAYOUTS)
def test_words_of_samples(device, name, tmp_path):
    """Another sample becomes the words that synthesis with this sample would give."""
    (layers, weights), shape, mapping = LAYOUTS[name]
    network = build(layers, weights, shape, device)
    read = interface(program(network, mapping), tmp_path)
    sample = random_sample(shape, seed=5)
    expected = program(network, mapping, sample=sample).inputs
    words = read.sample_words(sample, "here")
    assert [array.tolist() for _, array in words] == [block.words.tolist() for block in expected]
    if mapping is MEMORY:
        assert [address for address, _ in words] == [block.address for block in expected]
    elif mapping is FIFO:
        assert [address for address, _ in words] == [0x5000_0008 + 4 * block.name for block in expected]
    else:
        assert [address for address, _ in words] == [0x400C_0410]


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
    pattern = LoweringOptions(synthesized_input=SynthesizedInput(0x010203, 8))
    read = interface(program(network, FIFO, pattern), tmp_path)
    with pytest.raises(Ai8xError, match=r"^here: this project makes up its input itself"):
        read.sample_words(random_sample((3, 4, 4)), "here")
    read = interface(program(network), tmp_path, unload=False)
    assert read.outputs is None
    with pytest.raises(Ai8xError, match=r"^here: the sample is 3×5×4, this project takes 3×4×4"):
        read.sample_words(random_sample((3, 5, 4)), "here")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "ai8x-interface/9"},
        {"input_shape": [3, 4]},
        {"input_arrays": [{"address": "0x50400000", "pixels_per_word": 1, "channels": [[0, 1, 2, 3]]}]},
        {"input_arrays": [{"address": "nonsense", "pixels_per_word": 1, "channels": [[0, 1, 2, None]]}]},
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
        {"input_arrays": [{"address": "0x150400000", "pixels_per_word": 1, "channels": [[0, 1, 2, None]]}]},
        {"input_arrays": [{"address": "-1", "pixels_per_word": 1, "channels": [[0, 1, 2, None]]}]},
        {"input_arrays": [{"address": "0x50400000", "pixels_per_word": 3, "channels": [[0, 1, 2, None]]}]},
        {"input_arrays": [{"address": "0x50400000", "pixels_per_word": 1, "channels": [[0, 1, -2, None]]}]},
        {"input_arrays": [{"address": "0x50400000", "pixels_per_word": 1, "channels": []}]},
        {"outputs": [{"shape": [1, 1, 0], "bits": 8, "start": 0}]},
        {"outputs": [{"shape": [1, 1, 1], "bits": 8, "start": -8}]},
        {"outputs": [{"shape": [1, 1, 1], "bits": [8], "start": 0}]},
    ],
)
def test_damaged_files(tmp_path, change):
    (layers, weights), shape, mapping = LAYOUTS["FIFO, HWC"]
    interface(program(build(layers, weights, shape), mapping), tmp_path)
    path = tmp_path / "interface.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Ai8xError, match=r"interface\.json: not an interface file of this version"):
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
