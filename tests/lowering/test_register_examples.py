"""All registers of the worked examples."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import registers
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from ai8x_tool.lowering import Write
from ai8x_tool.lowering.configure import LAYER_REGISTERS
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import Weights, build, program, random_kernels
from tests.support.register_examples import CONTROL, REGISTERS

ALL = (1 << 64) - 1
FIFO = MappingOptions(fifo=True)


@dataclass(frozen=True)
class Example:
    """A network with known registers. `weights` are given by shape, with shift and bias by layer."""

    device: object
    layers: list
    shapes: list
    sample: tuple
    shifts: list = field(default_factory=list)
    bias: dict = field(default_factory=dict)
    mapping: MappingOptions = field(default_factory=MappingOptions)
    start_layer: int = 0

    def program(self):
        weights = []
        for i, shape in enumerate(self.shapes):
            count = shape[0]
            seed = self.bias.get(i)
            bias = None if seed is None else [(seed + 3 * k) % 100 + 1 for k in range(count)]
            weights.append(Weights(random_kernels(shape, seed=i), bias, shift=self.shifts[i] if self.shifts else 0))
        options = ResolveOptions(start_layer=self.start_layer)
        network = build(self.layers, weights, self.sample, self.device, options)
        return program(network, self.mapping)


def layer(op, processors, out, **keys):
    """Return one layer; its keys `relu`, `max` and `avg` stand for an activation and for pooling by two."""
    result = {"op": op, "processors": processors, "out_offset": out}
    if keys.pop("relu", False):
        result["activate"] = "ReLU"
    for kind in ("max", "avg"):
        if keys.pop(kind, False):
            result |= {f"{kind}_pool": 2, "pool_stride": 2}
    return result | keys


def conv(processors, out, **keys):
    return layer("Conv2d", processors, out, **keys)


def conv1(processors, out, length, pad=0, **keys):
    return layer("Conv1d", processors, out, kernel_size=length, pad=pad, relu=True, **keys)


def mnist(device):
    layers = [
        conv(0x1, 0x2000, relu=True, data_format="CHW"),
        conv(ALL - 15, 0, relu=True, pad=2, max=True),
        conv(ALL - 15, 0x2000, relu=True, max=True),
        conv(0x0FFF_FFFF_FFFF_FFF0, 0, relu=True, avg=True),
        layer("Linear", 0xFFF, 0x1000, flatten=True, output_width=32),
    ]
    shapes = [(60, 1, 3, 3), (60, 60, 3, 3), (56, 60, 3, 3), (12, 56, 3, 3), (10, 192, 1, 1)]
    return Example(device, layers, shapes, (1, 28, 28), [-1, -2, -2, -1, 0], {4: 0})


M52, M48 = (1 << 52) - 1, (1 << 48) - 1


def keywords(device):
    pad = 1 if device is MAX78000 else 0
    layers = [
        conv1(ALL, 0x2000, 1),
        conv1(M52, 0, 3),
        conv1(M48, 0x2000, 3, pad, max=True),
        conv1(ALL, 0, 3),
        conv1(M48, 0x2000, 3, pad, max=True),
        conv1(ALL, 0, 3),
        conv1(M48, 0x2000, 3, pad, avg=True),
        conv1(M52, 0, 6 if pad else 3, pad, max=True),
        layer("Linear", ALL, 0x2000, flatten=True, output_width=32),
    ]
    channels = [128, 100, 96, 64, 48, 64, 96, 100, 64]
    lengths = [1, 3, 3, 3, 3, 3, 3, 6 if pad else 3]
    shapes = [(channels[i + 1], channels[i], lengths[i], 1) for i in range(8)]
    shapes.append((21, 64 * (4 if pad else 3), 1, 1))
    shifts = [1, 2, 2, 2, 1, 2, 2, 2, 3] if pad else [1, 2, 2, 1, 2, 2, 2, 2, 5]
    return Example(device, layers, shapes, (128, 128, 1), shifts)


def cats(device):
    layers = [
        conv(0x7, 0x1000, relu=True, streaming=True),
        conv(0xF_FFF0_0000_0000, 0x2000, relu=True, max=True, streaming=True),
        conv(0xFFFF_FFFF, 0, relu=True, max=True),
        conv(ALL, 0x2000, relu=True, max=True),
        conv(0xFFFF_FFFF, 0, relu=True, max=True),
        conv(0xFFFF_FFFF_0000_0000, 0x2000, relu=True),
        layer("Linear", 0xFFFF, 0x1000, flatten=True, output_width=32),
    ]
    channels = [3, 16, 32, 64, 32, 32, 16]
    shapes = [(channels[i + 1], channels[i], 3, 3) for i in range(6)] + [(2, 1024, 1, 1)]
    layers[1]["processors"] = 0x000F_FFF0_0000_0000
    return Example(device, layers, shapes, (3, 128, 128), [-1, -1, -1, -1, 0, 0, -2], {6: 0}, FIFO)


def three_pass_add():
    both = {"in_sequences": [0], "in_offset": 0x1000, "pad": 0, "write_gap": 1}
    layers = [
        conv(7, 0x1000, pad=0, output_processors=ALL),
        conv(ALL, 0x2000, **both, output_processors=ALL),
        conv(ALL, 0x2004, **both, output_processors=ALL),
        layer("add", ALL, 0x3000, in_sequences=[1, 2], in_offset=0x2000, output_processors=ALL),
    ]
    return Example(MAX78000, layers, [(64, 3, 3, 3), (192, 64, 3, 3), (192, 64, 3, 3)], (3, 5, 7))


def transposed(device):
    layers = [layer("ConvTranspose2d", 7, 0x2000, output_width=32)]
    return Example(device, layers, [(4, 3, 3, 3)], (3, 5, 7))


def depthwise():
    layers = [
        conv(ALL, 0x4000, groups=64, pad=2),
        conv(ALL, 0, groups=64),
        conv(ALL, 0x4000, groups=64, pad=0, output_processors=ALL),
    ]
    return Example(MAX78002, layers, 3 * [(64, 1, 3, 3)], (64, 7, 11), [], {0: 0, 1: 1, 2: 0})


def depthwise_mixed():
    layers = [
        conv(ALL, 0x4000, groups=127, pad=2),
        conv(ALL, 0, kernel_size="1x1", pad=0),
        conv(ALL >> 1, 0x4000, groups=63, pad=0, output_processors=ALL >> 1),
    ]
    shapes = [(127, 1, 3, 3), (63, 127, 1, 1), (63, 1, 3, 3)]
    return Example(MAX78002, layers, shapes, (127, 11, 13), [], {0: 0, 1: 1, 2: 2})


def add_and_average():
    point = {"kernel_size": "1x1", "pad": 0, "write_gap": 1, "output_processors": ALL, "in_offset": 0}
    layers = [
        conv(ALL, 0x2000, **point),
        conv(ALL, 0x2004, **point, in_sequences="input"),
        layer("add", ALL, 0x4000, in_sequences=[0, 1], in_offset=0x2000),
        layer("none", ALL, 0x6000, avg=True, output_processors=ALL),
    ]
    return Example(MAX78002, layers, 2 * [(128, 64, 1, 1)], (64, 12, 12))


def jumping():
    first = ALL - 15
    layers = [
        conv(first, 0, relu=True, max=True, next_sequence=3, in_offset=0x2000),
        conv(0x7, 0x2000, relu=True, next_sequence=0, in_offset=0),
        conv(first >> 4 & ~15, 0, relu=True, avg=True, next_sequence="stop", in_offset=0x2000, output_processors=0xFFF),
        conv(first, 0x2000, relu=True, max=True, next_sequence=2, in_offset=0),
    ]
    shapes = [(60, 60, 3, 3), (60, 3, 3, 3), (12, 56, 3, 3), (56, 60, 3, 3)]
    return Example(MAX78002, layers, shapes, (3, 32, 32), [], {0: 0, 1: 1, 2: 2, 3: 3}, start_layer=1)


def quad():
    parallel = {"streaming": True, "calcx4": True, "readahead": True, "relu": True}
    layers = [
        conv(7, 0x4000, relu=True, streaming=True),
        conv(ALL, 0x8000, max=True, **parallel),
        conv(ALL, 0xC000, max=True, **parallel),
        conv(ALL, 0x10000, avg=True, **parallel),
    ]
    shapes = [(128, 3, 3, 3), (128, 128, 3, 3), (128, 128, 3, 3), (16, 128, 3, 3)]
    bias = {0: 0, 1: 1, 2: 2, 3: 3}
    options = MappingOptions(fifo=True, fast_fifo=True, quad=True)
    return Example(MAX78002, layers, shapes, (3, 32, 32), [], bias, options)


EXAMPLES = {
    "12.1": mnist(MAX78000),
    "12.2": mnist(MAX78002),
    "12.3": keywords(MAX78000),
    "12.4": keywords(MAX78002),
    "12.5": cats(MAX78000),
    "12.6": cats(MAX78002),
    "12.8": three_pass_add(),
    "12.9": Example(MAX78000, [layer("Conv1d", 3, 0x2000, kernel_size=1, pad=0)], [(33, 2, 1, 1)], (2, 21, 1)),
    "12.10": Example(
        MAX78000,
        [layer("Conv1d", M48, 0x2000, kernel_size=3, pad=0, dilation=11)],
        [(77, 96, 3, 1)],
        (96, 199, 1),
    ),
    "12.11": transposed(MAX78000),
    "12.12": transposed(MAX78002),
    "12.13": depthwise(),
    "12.14": depthwise_mixed(),
    "12.15": Example(
        MAX78000, [layer("Linear", 0xFFF, 0x2000, flatten=True, output_width=32)], [(100, 768, 1, 1)], (12, 8, 8)
    ),
    "12.16": add_and_average(),
    "12.17": jumping(),
    "12.18": quad(),
}
LAYER_NAMES = {name for name, _ in LAYER_REGISTERS} - {"IFRM"}


def cell(text, quadrants):
    """Return {quadrant: value} of one cell of a table."""
    text = text.replace("*", "ffffffff")
    if "/" in text:
        first, others = (int(part, 16) for part in text.split("/"))
        return {q: first if i == 0 else others for i, q in enumerate(quadrants)}
    values = [int(part, 16) for part in text.split(",")]
    if len(values) == 1:
        values *= len(quadrants)
    # Lists cover all four quadrants; unused ones hold 0.
    return dict(zip(range(4) if len(values) == 4 else quadrants, values, strict=True))


def expected_registers(name, quadrants):
    result = {}
    for line in REGISTERS[name].strip().split("\n"):
        register, *cells = (part.strip() for part in line.split("|"))
        for index, text in enumerate(cells):
            for quadrant, value in cell(text, quadrants).items():
                if value:
                    result[register, index, quadrant] = value
    return result


@pytest.mark.parametrize("name", EXAMPLES)
def test_registers(name):
    example = EXAMPLES[name]
    lowered = example.program()
    actual, table = {}, registers(example.device)
    for write in lowered.configure:
        if write.register not in LAYER_NAMES or write.note:
            continue
        key = write.register, write.layer, write.quadrant
        assert key not in actual
        assert write.value, "registers that are 0 are not written"
        hardware = lowered.mapping[write.layer].hardware_index
        assert write.address == table[write.register].address(example.device, write.quadrant, hardware)
        actual[key] = write.value
    expected = expected_registers(name, lowered.mapping.quadrants)
    assert {k: hex(v) for k, v in actual.items()} == {k: hex(v) for k, v in expected.items()}


@pytest.mark.parametrize("name", CONTROL)
def test_control_writes(name):
    """All other writes, in program order."""
    lowered = EXAMPLES[name].program()
    writes = [step for step in lowered.init if isinstance(step, Write)]
    writes += [write for write in lowered.configure if write.register not in LAYER_NAMES]
    writes += [*lowered.start, *lowered.go]
    actual = [(w.address if w.address >> 24 == 0x40 else w.address - 0x5000_0000, w.value) for w in writes]
    expected = [tuple(int(x, 16) for x in pair.split("=")) for pair in CONTROL[name].split()]
    assert [f"{a:x}={v:x}" for a, v in actual] == [f"{a:x}={v:x}" for a, v in expected]


def test_accumulator_reset_layer():
    """Hardware layer 3, in quadrant 0 only, each register directly before that of the layer behind it."""
    configure = EXAMPLES["12.16"].program().configure
    resets = [write for write in configure if write.note]
    expected = {"RCNT": 0x10000, "CCNT": 0x10000, "STRIDE": 0x10, "WPTR": 0x1800, "WTOFF": 0x8000, "RPTR": 0x1000}
    expected |= {"LCTL": 0x920, "ONED": 0x100, "POST": 0x300_0000, "ENA": 1}
    assert {write.register: write.value for write in resets} == expected
    table = registers(MAX78002)
    for write in resets:
        assert write.address == table[write.register].address(MAX78002, 0, 3)
        following = configure[configure.index(write) + 1]
        assert (following.register, following.address) == (write.register, write.address + 0x100)
