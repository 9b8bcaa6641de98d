"""``cnn_load_input()`` and its variants, in emulation: they store what synthesis with the same sample would store."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool import firmware
from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.codegen.input_loader import input_address
from ai8x_tool.device import MAX78000
from ai8x_tool.firmware.emulator import Emulator
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.lowering.options import SynthesizedInput
from ai8x_tool.mapping import MappingOptions
from tests.support.firmware_case import NEEDS_EMULATOR
from tests.support.networks import build, program, random_sample
from tests.support.recording_bus import RecordingBus

pytestmark = NEEDS_EMULATOR
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
    "FIFO, made up": (layer(0x7, 3), (3, 4, 4), FIFO),
    "colors of their own": (layer(0x7, 3), (3, 3, 5), MEMORY),
    "fast FIFO": (layer(0xF, 4), (4, 3, 5), FAST),
}


LOADERS = ("", "_hwc", "_rgb888", "_rgb565", "_rgb565_bytes")
OFFSET, GAIN = [120.0, 110.0, 100.0], [2.5, 1.0, 0.3]
COLORS = {"kind": "images", "input": [3, 3, 5], "offset": OFFSET, "gain": GAIN, "per_sample": False, "reading": {}}
MAIN = """
#include "mxc.h"
#include "gcfr_regs.h"
int main(void)
{
  MXC_GCFR->reg1 = MXC_GCFR->reg0 = 0xf;
  MXC_GCFR->reg3 = 0;
  MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_CNN);
  return 0;
}
volatile uint32_t cnn_time;
"""


def lowered(name, sample=None):
    (layers, weights), shape, mapping = LAYOUTS[name]
    pattern = SynthesizedInput(0x010203, 8) if name == "FIFO, made up" and sample is None else None
    network = build(layers, weights, shape, MAX78000)
    return program(network, mapping, LoweringOptions(synthesized_input=pattern), sample)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """One program that holds the functions of all layouts, under names of their own."""
    folder = tmp_path_factory.mktemp("loaders")
    functions = []
    for number, name in enumerate(LAYOUTS):
        made = lowered(name)
        colors = COLORS if name == "colors of their own" else None
        options = ProjectOptions("test", "net.yaml", "net.pth.tar", preprocessing=colors)
        files, _ = render_project(made.program, made.sample, options)
        renamed = "".join(f"#define cnn_load_input{end} load_{number}{end}\n" for end in LOADERS)
        (folder / f"loader_{number}.c").write_text(renamed + files["cnn_input.c"])
        functions += [f"load_{number}{end}" for end in LOADERS if f"load_input{end}(" in files["cnn_input.c"]]
    (folder / "Makefile").write_text("TARGET = MAX78000\n")
    (folder / "cnn.h").write_text("#define CNN_OK 1\n#define CNN_NUM_OUTPUTS 1\n")
    table = "\n".join(f"int {name}(const void *);" for name in functions)
    table += (
        "\nstatic volatile int which;\nstatic int (*const all[])(const void *) = { " + ", ".join(functions) + " };\n"
    )
    (folder / "main.c").write_text(table + MAIN.replace("return 0", "return which ? all[which](0) : 0"))
    session = Emulator(firmware.build(folder), RecordingBus(MAX78000))
    assert session.run().exit_code == 0
    return session


def stored(emulator, name, end, data):
    """Return the words that a function stores: {address: words} in order."""
    bus = emulator._accelerator
    bus.stores.clear()
    emulator._call(f"load_{list(LAYOUTS).index(name)}{end}", emulator._machine.place(data))
    found = {}
    for address, value, size in bus.stores:
        assert size == 4
        found.setdefault(address, []).append(value)
    return found


def expected(name, sample):
    """Return the words that a program with this sample stores."""
    made = lowered(name, sample)
    words = {}
    for block in made.inputs:
        address = input_address(made.program, block)
        if made.program.mapping.options.fifo:
            words[address] = block.words.tolist()
        else:
            words |= {address + 4 * index: [word] for index, word in enumerate(block.words.tolist())}
    return words


@pytest.mark.parametrize("name", LAYOUTS)
def test_inputs(emulator, name):
    """Channel after channel, and pixel after pixel."""
    sample = random_sample(LAYOUTS[name][1], seed=5)
    data = sample.astype(np.int8)
    assert stored(emulator, name, "", data.tobytes()) == expected(name, sample)
    assert stored(emulator, name, "_hwc", data.transpose(1, 2, 0).tobytes()) == expected(name, sample)


def full(bits, count):
    """Return shades of `count` bits as 0 … 255."""
    return (bits << 8 - count) | (bits >> 2 * count - 8)


@pytest.mark.parametrize("name", ["CHW", "FIFO, HWC", "FIFO, CHW", "FIFO, made up", "colors of their own"])
def test_frames(emulator, name):
    """Of cameras: 24 bits and 16 bits, also as bytes; the values are those of the preprocessing."""
    generator = np.random.default_rng(8)
    _, rows, columns = LAYOUTS[name][1]

    def network_input(pixels):
        values = pixels.transpose(2, 0, 1).astype(np.float32)
        if name != "colors of their own":
            return values.astype(np.int64) - 128
        offset, gain = (np.array(each, np.float32).reshape(3, 1, 1) for each in (OFFSET, GAIN))
        return np.clip(np.rint((values - offset) * gain), -128, 127).astype(np.int64)

    frame = generator.integers(0, 256, (rows, columns, 3), np.uint8)
    assert stored(emulator, name, "_rgb888", frame.tobytes()) == expected(name, network_input(frame))
    small = generator.integers(0, 1 << 16, (rows, columns)).astype("<u2")
    shades = np.stack([full(small >> 11, 5), full(small >> 5 & 63, 6), full(small & 31, 5)], axis=2)
    words = expected(name, network_input(shades))
    assert stored(emulator, name, "_rgb565", small.tobytes()) == words
    assert stored(emulator, name, "_rgb565_bytes", small.astype(">u2").tobytes()) == words


def test_only_pictures_have_frames():
    """Three channels alone do not make an image in color."""
    kinds = {"sound": COLORS | {"kind": "sound"}, "sample": COLORS | {"per_sample": True}, "images": COLORS}
    made = lowered("CHW")
    found = [
        "rgb888"
        in render_project(made.program, made.sample, ProjectOptions("n", "n", "c", preprocessing=known))[0]["cnn.h"]
        for known in kinds.values()
    ]
    assert found == [False, False, True]
