"""Each kind of conflict between reads and writes in a small network, and the keys with which there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import Weights, build

FIFO = MappingOptions(fifo=True)
OVERLAP = MappingOptions(overlap_data=True)
TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]
RING = {"name": "ring", "processors": 0xF, "channels": 4, "dim": 4, "offset": 0x100}


def conv(processors=0xF, out=0x1000, **keys):
    return {"op": "Conv2d", "pad": 1, "processors": processors, "out_offset": out, "output_processors": 0xF, **keys}


def copy(processors=0xF, out=0x1000, **keys):
    keys = {"output_processors": processors, **keys}
    return {"op": "none", "processors": processors, "out_offset": out, **keys}


@dataclass(frozen=True)
class Kind:
    """A network with a conflict in layer `index`, and the keys of that layer with which there is none.

    `rule` is what the judge says, `found` are words of the replay's line.
    """

    kind: str
    layers: list
    index: int
    right: dict
    rule: str = "constraint_overwriting"
    found: str = ""
    weights: list = field(default_factory=list)
    shape: tuple = (4, 8, 8)
    device: object = MAX78000
    options: MappingOptions = field(default_factory=MappingOptions)
    top: dict = field(default_factory=dict)

    def network(self, *, wrong):
        layers = [{**layer} for layer in self.layers]
        if not wrong:
            layers[self.index] |= self.right
        return build(layers, self.weights, self.shape, self.device, **self.top)


def streaming(processors, out, **keys):
    return conv(processors, out, streaming=True, **keys)


FOUR = (4, 4, 3, 3)
SHIFT = copy(0xF, 0x100, in_sequences="ring", in_offset=0x104, in_dim=[3, 1], in_channels=4, buffer_shift=1)
INSERT = copy(0xF, 0x10C, in_sequences=0, in_offset=0x800, in_dim=[1, 1], buffer_insert=1)
READ = {
    **{"op": "Conv1d", "kernel_size": 4, "pad": 0, "processors": 0xF, "in_sequences": "ring", "in_offset": 0x100},
    **{"in_dim": 4, "in_channels": 4, "out_offset": 0x200, "output_processors": 0xF},
}
LAST = copy(0xF, 0x10C, in_sequences=3, in_offset=0x200)
ROLLING = [copy(0xF, 0x800), SHIFT, INSERT, READ, LAST]
ONE_PIXEL = {"shape": (4, 1, 1), "weights": [(4, 4, 4, 1)], "top": {"data_buffer": [RING]}}

KINDS = {
    "input": Kind("early", [conv(out=0x40)], 0, {"out_offset": 0x100}, weights=[FOUR]),
    "input that comes from an older layer": Kind(
        "early",
        [copy(out=0x1000), copy(out=0x2000, in_offset=0x1000), copy(out=0x1080, in_sequences=0, in_offset=0x1000)],
        2,
        {"out_offset": 0x1000},
        found="overwrites the output of layer 0, which it has yet to read, at offset 0x1080",
    ),
    "input of a transposed convolution": Kind(
        "early",
        [{"op": "ConvTranspose2d", "pad": 1, "processors": 0xF, "out_offset": 0, "output_processors": 0xF}],
        0,
        {"out_offset": 0x100},
        weights=[FOUR],
        options=OVERLAP,
    ),
    "joined input": Kind(
        "early",
        [
            copy(out=0x1000),
            copy(out=0x1000, in_sequences="input", in_offset=0, output_processors=0xF0),
            conv(0xFF, 0x1080, in_sequences=[0, 1], in_offset=0x1000),
        ],
        2,
        {"out_offset": 0x2000},
        weights=[(4, 8, 3, 3)],
    ),
    "frame that came through a FIFO": Kind(
        "early",
        [conv(7, out=0x80)],
        0,
        {"out_offset": 0x100},
        weights=[(4, 3, 3, 3)],
        shape=(3, 8, 8),
        options=FIFO,
    ),
    "input behind streaming layers": Kind(
        "early",
        [
            streaming(7, 0x800, output_processors=0xF0),
            streaming(0xF0, 0x2000, output_processors=0xF00),
            conv(0xF00, 0x2080, output_processors=0xF00),
        ],
        2,
        {"out_offset": 0x3000},
        weights=[(4, 3, 3, 3), FOUR, FOUR],
        shape=(3, 16, 16),
        options=FIFO,
    ),
    "skip connection": Kind(
        "read",
        [
            copy(out=0x1000, write_gap=1),
            copy(out=0x2000, in_sequences="input", in_offset=0),
            copy(out=0x1000, in_offset=0x2000),
            copy(out=0x1004, in_sequences=1, in_offset=0x2000, write_gap=1),
            {**copy(out=0x3000, in_sequences=[0, 3], in_offset=0x1000), "op": "add"},
        ],
        2,
        {"out_offset": 0x4000},
        found="layer 4 reads the output of layer 0",
    ),
    "operand between operands": Kind(
        "read",
        [
            copy(out=0x1000, write_gap=1),
            copy(out=0x1000, in_sequences="input", in_offset=0, write_gap=1),
            {**copy(out=0x3000, in_sequences=[0, 1], in_offset=0x1000), "op": "add"},
        ],
        1,
        {"out_offset": 0x1004},
    ),
    "gap of a reader": Kind(
        "read",
        [copy(out=0x1000, write_gap=1), copy(in_offset=0x1000, out=0x2000, read_gap=2)],
        1,
        {"read_gap": 1},
        rule="constraint_reads_source",
        device=MAX78002,
    ),
    "operands, with a gap behind": Kind(
        "read",
        [
            copy(out=0x1000, write_gap=3),
            copy(out=0x1008, in_sequences="input", in_offset=0, write_gap=3),
            {**copy(out=0x4000, in_sequences=[0, 1], in_offset=0x1000, read_gap=1), "op": "add"},
        ],
        1,
        {"out_offset": 0x1004},
        rule="constraint_reads_source",
        device=MAX78002,
    ),
    "gap that a flattening layer does not skip": Kind(
        "read",
        [
            copy(out=0x1000, write_gap=1),
            {"op": "Linear", "flatten": True, "processors": 0xF, "in_offset": 0x1000, "read_gap": 1, "out_offset": 0},
        ],
        0,
        {"write_gap": 0},
        rule="constraint_reads_source",
        weights=[(4, 16, 1, 1)],
        shape=(4, 2, 2),
        device=MAX78002,
    ),
    "gap in the network's input": Kind(
        "read", [copy(read_gap=1)], 0, {"read_gap": 0}, rule="constraint_reads_source", device=MAX78002
    ),
    "32-bit values": Kind(
        "read",
        [conv(out=0x1000, output_width=32), copy(in_offset=0x1000, out=0x4000)],
        0,
        {"output_width": 8},
        rule="constraint_reads_source",
        weights=[FOUR],
    ),
    "channels in other lanes": Kind(
        "read",
        [copy(0x3, out=0x1000, output_processors=0x6), copy(0x6, in_offset=0x1000, out=0x2000)],
        0,
        {"output_processors": 0x3},
        rule="constraint_passthrough_lane",
        shape=(2, 4, 4),
    ),
    "channel that a FIFO drops": Kind(
        "read",
        [conv(0x5, out=0x1000)],
        0,
        {"processors": 0x3},
        rule="constraint_reads_source",
        weights=[(4, 2, 3, 3)],
        shape=(2, 8, 8),
        options=FIFO,
    ),
    "output": Kind(
        "end",
        [copy(out=0x1000, output=True), copy(out=0x2000, in_offset=0x1000), copy(out=0x1080, in_offset=0x2000)],
        2,
        {"out_offset": 0x4000},
        found="the output of layer 0 must be at offset 0x1080",
    ),
    "output, where overlapping is allowed": Kind(
        "end",
        [copy(out=0x1000, output=True), copy(out=0x1000, in_offset=0x1000)],
        1,
        {"out_offset": 0x2000},
        options=OVERLAP,
    ),
    "item to unload": Kind(
        "end",
        [copy(out=0x1000), copy(out=0x2000, in_offset=0x1000), copy(out=0x1080, in_offset=0x2000)],
        2,
        {"out_offset": 0x4000},
        top={"unload": [{"processors": 0xF, "channels": 4, "dim": [8, 8], "offset": 0x1000}]},
    ),
    "output that streams on": Kind(
        "end",
        [
            streaming(7, 0x800, output_processors=0xF0, output=True),
            streaming(0xF0, 0x2000, output_processors=0xF00),
        ],
        0,
        {"output": False},
        rule="constraint_output_kept",
        weights=[(4, 3, 3, 3), FOUR],
        shape=(3, 16, 16),
        options=FIFO,
    ),
    "rolling buffer, after it was read": Kind("end", ROLLING, 4, {"out_offset": 0x400}, **ONE_PIXEL),
    "rolling buffer, by the input": Kind(
        "read", [{**ROLLING[0], "in_offset": 0x104}, *ROLLING[1:4]], 0, {"in_offset": 0}, **ONE_PIXEL
    ),
    "rolling buffer, in another place": Kind(
        "read",
        [*ROLLING[:2], {**INSERT, "out_offset": 0x108}, READ],
        2,
        {"out_offset": 0x10C},
        rule="constraint_buffer_use",
        **ONE_PIXEL,
    ),
    "rings, by the last streaming layer": Kind(
        "ring",
        [
            streaming(7, 0x800, in_offset=0xE00, output_processors=0xF0),
            streaming(0xF0, 0x900, output_processors=(1 << 64) - 1),
        ],
        1,
        {"out_offset": 0x2000},
        rule="constraint_stream_output",
        weights=[(4, 3, 3, 3), (128, 4, 3, 3)],
        shape=(3, 16, 16),
        options=FIFO,
    ),
    "scratch in front of a dilated convolution": Kind(
        "end",
        [
            {"op": "none", "processors": 0xF, "out_offset": 0x1000, "output_processors": 0xF, "output": True},
            {
                **{"op": "Conv1d", "kernel_size": 3, "dilation": 9, "pad": 0, "processors": 0xF, "in_offset": 0},
                **{"in_sequences": "input", "out_offset": 0x1084, "output_processors": 0xF},
            },
        ],
        1,
        {"out_offset": 0x2000},
        weights=[(4, 4, 3, 1)],
        shape=(4, 40, 1),
    ),
    "lanes between output processors": Kind(
        "end",
        [
            copy(0xF, 0x1000, output_processors=0xF0, output=True),
            conv(0xF, 0x1000, in_sequences="input", in_offset=0, output_processors=0xF0F),
        ],
        1,
        {"output_processors": 0xFF0000},
        weights=[(8, 4, 3, 3)],
    ),
    "processors without output in the last pass": Kind(
        "end",
        [
            conv(0xF, 0x1004, output_processors=0xF00000000, output=True),
            conv(0xF, 0x1000, in_sequences="input", in_offset=0, output_processors=(1 << 36) - 1),
        ],
        1,
        {"out_offset": 0x2000},
        weights=[FOUR, (65, 4, 3, 3)],
        shape=(4, 1, 1),
    ),
    "word that resets the accumulator": Kind(
        "read",
        [
            conv(0xF, 0x1000, output_processors=0xF0000, write_gap=1),
            conv(0xF, 0x1004, in_sequences="input", in_offset=0, output_processors=0xF0000, write_gap=1),
            {**copy(0xF0000, 0x2000, in_sequences=[0, 1], in_offset=0x1000), "op": "add"},
            copy(0xF0000, 0x40, in_offset=0x2000, avg_pool=2, pool_stride=2),
            copy(0xF, 0x4000, in_sequences="input", in_offset=0),
        ],
        3,
        {"out_offset": 0x3000},
        found="finds the accumulator reset of layer 3",
        weights=[FOUR, FOUR],
        device=MAX78002,
    ),
    "block of memory that is read ahead": Kind(
        "read-ahead",
        [
            conv(out=0x0, in_offset=0x10000, write_gap=3),
            conv(in_offset=0, out=0x4004, read_gap=3, write_gap=1, readahead=True),
        ],
        1,
        {"out_offset": 0x8000},
        rule="constraint_readahead",
        weights=[FOUR, FOUR],
        shape=(4, 64, 32),
        device=MAX78002,
    ),
    "memory": Kind(
        "outside", [copy(out=0x7F80, write_gap=1)], 0, {"out_offset": 0x1000}, rule="constraint_output_memory"
    ),
    "kernels behind a hole": Kind(
        "kernel",
        [conv(output_processors=0x11, kernel_size="1x1", pad=0)],
        0,
        {"output_processors": 3},
        rule="constraint_kernel_lanes",
        weights=[(2, 4, 1, 1)],
    ),
    "kernels of an incomplete pass": Kind(
        "kernel",
        [conv((1 << 36) - 1, output_processors=0xF)],
        0,
        {"quantization": 4},
        rule="constraint_incomplete_pass",
        weights=[Weights((4, 70, 3, 3), bits=4, shift=-4)],
        shape=(70, 8, 8),
    ),
    "biases behind a hole": Kind(
        "bias",
        [conv(output_processors=0x33)],
        0,
        {"output_processors": 0xF},
        rule="constraint_bias_lanes",
        weights=[Weights((4, 4, 3, 3), [1, 2, 3, 4])],
    ),
}
UNREPAIRED = {"kernels of an incomplete pass", "channels in other lanes"}
