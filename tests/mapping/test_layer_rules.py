"""Every rule is broken by one small network, and the message is the rule's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import pytest

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from ai8x_tool.mapping import LayerPlacement, MappingOptions, Placement, map_network
from ai8x_tool.network import INPUT, Layer, build_network
from ai8x_tool.rule import rule_text
from tests.support.networks import Weights, build, examined
from tests.support.rule_cases import RULES, rules_tested

ALL = (1 << 64) - 1
FIFO = MappingOptions(fifo=True)
FAST = MappingOptions(fifo=True, fast_fifo=True)


@dataclass(frozen=True)
class Case:
    """A network that breaks one rule in layer `layer`; `values` are words of the message."""

    layers: list
    weights: list
    shape: tuple
    device: object = MAX78000
    mapping: MappingOptions = field(default_factory=MappingOptions)
    layer: int = 0
    values: str = ""
    resolve: ResolveOptions = field(default_factory=ResolveOptions)
    top: dict = field(default_factory=dict)

    def check(self, console):
        network = build(self.layers, self.weights, self.shape, self.device, self.resolve, **self.top)

        examined(network, console, self.mapping, data=False)


@dataclass(frozen=True)
class Placed:
    """Two layers, of which the second reads the first unless they are `independent`, executed in `order`."""

    order: tuple
    layer: int
    values: str
    independent: bool = False

    def check(self, console):
        second = {"in_sequences": "input"} if self.independent else {"in_sequences": 0}
        network = build([passing(), passing(**second)], [], (3, 8, 8), MAX78000 if self.independent else MAX78002)
        placement = replace(network.placement, order=self.order)
        layers = [replace(layer, source="net.yaml:1") for layer in network.layers]
        examined(replace(network, placement=placement, layers=tuple(layers)), console, data=False)


@dataclass(frozen=True)
class Chain:
    """More layers than a description can have: a network of `count` copies, built without one."""

    count: int
    device: object
    values: str
    layer: int

    def check(self, console):
        names = [f"copy{i}" for i in range(self.count)]
        copies = [
            Layer(name, (before,), "none", source="net.yaml:1")
            for before, name in zip((INPUT, *names), names, strict=False)
        ]
        places = {name: LayerPlacement(7, 7, 0x100 * (i % 2), 0x100 * ((i + 1) % 2)) for i, name in enumerate(names)}
        network = build_network("net", (3, 4, 4), copies)
        map_network(network, Placement(places, tuple(names)), self.device)


def conv(processors=7, **keys):
    return {"op": "Conv2d", "pad": 1, "out_offset": 0, "processors": processors, **keys}


def point(processors, **keys):
    return conv(processors, **{"kernel_size": "1x1", "pad": 0, **keys})


def conv1(length=3, processors=7, **keys):
    return {"op": "Conv1d", "kernel_size": length, "pad": 0, "out_offset": 0, "processors": processors, **keys}


def passing(processors=7, **keys):
    return {"op": "none", "processors": processors, "out_offset": 0, "output_processors": processors, **keys}


def one(layer, shape=(3, 8, 8), weights=((4, 3, 3, 3),), **keys):
    return Case([layer], list(weights) if layer["op"] not in ("none", "add") else [], shape, **keys)


def two(second, first=None, channels=4, **keys):
    """Return a case whose second layer breaks the rule; it takes four channels."""
    weights = [(4, 3, 3, 3)]
    if second["op"] not in ("none", "add"):
        weights.append((channels, 4, 3, 3))
    return Case([first or conv(), second], weights, (3, 8, 8), **{"layer": 1, **keys})


def joined(reader, gaps=(0, 0), maps=(0xF, 0xF), second_offset=0x1004):
    """Return a case whose third layer reads both layers before it, which write four channels each."""
    keys = [{"output_processors": m, "write_gap": gap} for m, gap in zip(maps, gaps, strict=True)]
    first = conv(**{**keys[0], "out_offset": 0x1000})
    second = conv(**{**keys[1], "out_offset": second_offset, "in_sequences": "input", "in_offset": 0})
    third = {**reader, "in_sequences": [0, 1], "in_offset": 0x1000, "out_offset": 0x4000}
    weights = [(4, 3, 3, 3), (4, 3, 3, 3)] + ([(4, 8, 1, 1)] if reader["op"] == "Conv2d" else [])
    return Case([first, second, third], weights, (3, 8, 8), layer=2)


ADD = {"op": "add", "processors": 0xF, "output_processors": 0xF}
STREAM = {"streaming": True}
LINEAR = {"op": "Linear", "flatten": True, "out_offset": 0}
BUFFER = {"data_buffer": [{"name": "past", "processors": 7, "channels": 3, "dim": 8, "offset": 0}]}
FROM_BUFFER = {"in_sequences": "past", "in_offset": 4, "in_dim": [7, 1], "in_channels": 3, "buffer_shift": 1}

CASES = {
    "constraint_output_offset": [
        one(conv(out_offset=0x20000), values="0x20000"),
        one(conv(out_offset=-4), values="-0x4"),
        one(conv(out_offset=0x50000), device=MAX78002),
    ],
    "caution_last_output": [two(conv(0xF), conv(output=True))],
    "hint_input_pooling": [one(conv(max_pool=2, pool_stride=2))],
    "constraint_streaming_prefix": [two(conv(0xF, **STREAM))],
    "constraint_sources_before": [Placed(("1", "0"), layer=1, values="layer 0, which is executed later")],
    "constraint_execution_order": [Placed(("1", "0"), layer=1, values="layer 0 is to follow", independent=True)],
    "constraint_streaming_source": [
        Case(
            [conv(**STREAM), conv(0xF, in_sequences=0, **STREAM), conv(0xF, in_sequences=0, **STREAM)],
            [(4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3)],
            (3, 8, 8),
            layer=2,
            mapping=FIFO,
        )
    ],
    "caution_wide_intermediate": [two(conv(0xF), conv(output_width=32), layer=0)],
    "caution_source_gap": [two({**passing(0xF, in_sequences=[0, 0]), "op": "add"})],
    "caution_matching_gap": [two(conv(0xF), conv(write_gap=1))],
    "constraint_aligned_offsets": [one(conv(), resolve=ResolveOptions(input_offset=2), values="in_offset = 0x2")],
    "constraint_flatten_size": [one({**LINEAR, "processors": 7}, (3, 17, 16), [(4, 816, 1, 1)], values="272")],
    "caution_flatten_single": [one({**LINEAR, "processors": 7}, (3, 1, 1), [(4, 3, 1, 1)])],
    "constraint_pad_range": [one(conv1(9, pad=3), (3, 30, 1), [(4, 3, 9, 1)])],
    "constraint_dimensions": [
        one(conv(), (3, 1025, 2), values="1025×2"),
        one(conv(), (3, 2, 2049), device=MAX78002, values="2×2049"),
        one(conv1(1, pad=0), (3, 1025, 1), [(4, 3, 1, 1)]),
    ],
    "constraint_layer_count": [
        Chain(33, MAX78000, "MAX78000 has 32 layers", 32),
        Chain(129, MAX78002, "has 128 layers", 128),
    ],
    "constraint_bypass": [one(conv(bypass=True), weights=[])],
    "constraint_binary": [one(conv(), weights=[Weights((4, 3, 3, 3), bits=-1)])],
    "constraint_parallel": [one(conv(readahead=True)), one(conv(calcx4=True))],
    "constraint_snoop": [one(conv(), top={"snoop": [0] * 32})],
    "constraint_fast_fifo": [
        one(conv(0x1F), (5, 8, 8), [(4, 5, 3, 3)], mapping=FAST),
        one(conv(0x1_0001, data_format="CHW"), (2, 8, 8), [(4, 2, 3, 3)], mapping=FAST),
        one(conv(output_width=32), mapping=FAST),
        one(passing(), mapping=FAST),
    ],
    "constraint_fifo": [
        one(conv(0x001F_000F_000F_000F), (17, 8, 8), [(4, 17, 3, 3)], mapping=FIFO, values="17"),
        one(conv(0x17), (4, 8, 8), [(4, 4, 3, 3)], mapping=FIFO, values="0x0000000000000017"),
        one(conv(0x10002, data_format="CHW"), (2, 8, 8), [(4, 2, 3, 3)], mapping=FIFO),
        Case(
            [conv(), conv(7, next_sequence="stop")],
            [(4, 3, 3, 3), (4, 3, 3, 3)],
            (3, 8, 8),
            MAX78002,
            FIFO,
            layer=1,
            resolve=ResolveOptions(start_layer=1),
        ),
    ],
    "constraint_streaming_input": [one(conv(**STREAM), device=MAX78002)],
    "constraint_streaming_order": [
        Case(
            [conv(**STREAM, next_sequence=2), conv(0xF, next_sequence="stop"), conv(0xF, next_sequence=1)],
            [(4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3)],
            (3, 8, 8),
            MAX78002,
            FIFO,
        )
    ],
    "constraint_streaming_count": [
        Case(9 * [conv(7, **STREAM)], 9 * [(3, 3, 3, 3)], (3, 8, 8), MAX78002, FIFO, layer=8)
    ],
    "constraint_depthwise": [one(conv(groups=3), weights=[(3, 1, 3, 3)])],
    "constraint_read_gap": [
        one(conv(read_gap=1)),
        one(point(ALL, read_gap=1), (128, 4, 4), [(4, 128, 1, 1)], device=MAX78002, values="128"),
        one(point(0x111, read_gap=1, data_format="CHW"), weights=[(4, 3, 1, 1)], device=MAX78002, values="CHW"),
    ],
    "constraint_pool_dilation": [
        one(passing(max_pool=2, pool_stride=2, pool_dilation=2)),
        one(passing(max_pool=2, pool_stride=2, pool_dilation=16), (3, 20, 20)),
    ],
    "constraint_last_streaming_pad": [one(conv(pad=0, **STREAM), mapping=FIFO)],
    "constraint_streaming_passthrough": [
        two(passing(0xF, **STREAM), conv(**STREAM, output_processors=0xF), device=MAX78002, mapping=FIFO)
    ],
    "constraint_streaming_bypass": [
        Case(
            [conv(**STREAM), conv(0xF, kernel_size="1x1", pad=0, bypass=True)],
            [(4, 3, 3, 3)],
            (3, 8, 8),
            MAX78002,
            mapping=FIFO,
            layer=1,
        )
    ],
    "caution_streaming_bias": [one(conv(**STREAM), weights=[Weights((4, 3, 3, 3), [1, 2, 3, 4])], mapping=FIFO)],
    "constraint_weight_width_mix": [
        Case(
            [conv(), conv(0xF)],
            [Weights((4, 3, 3, 3), bits=-1, shift=-7), Weights((4, 4, 3, 3), bits=1, shift=-7)],
            (3, 8, 8),
            MAX78002,
        )
    ],
    "constraint_output_shift": [
        one(conv(), weights=[Weights((4, 3, 3, 3), shift=16)], values="-15 … 15"),
        one(conv(), weights=[Weights((4, 3, 3, 3), bits=4, shift=12)], values="-19 … 11"),
        one(conv(), weights=[Weights((4, 3, 3, 3), bits=2, shift=-22)], values="-21 … 9"),
        one(conv(), weights=[Weights((4, 3, 3, 3), bits=1, shift=9)], values="-22 … 8"),
    ],
    "constraint_chw_instances": [
        one(conv(0x3, data_format="CHW"), (2, 8, 8), [(4, 2, 3, 3)]),
        one(conv(0x9, data_format="CHW"), (2, 8, 8), [(4, 2, 3, 3)], values="0 … 3"),
    ],
    "constraint_channels": [
        one(point(ALL), (1028, 2, 2), [(4, 1028, 1, 1)], values="1028"),
        one(point(7), (3, 2, 2), [(1028, 3, 1, 1)], values="1028"),
    ],
    "constraint_frame_size": [one(point(ALL), (128, 1024, 1024), [(4, 128, 1, 1)], values="2097152")],
    "constraint_input_size": [
        one(conv(), (3, 91, 91), values="33,124 bytes"),
        one(conv(in_offset=0x7000), (3, 40, 40)),
        one(point(ALL), (128, 70, 70), [(4, 128, 1, 1)], values="2 passes"),
    ],
    "constraint_output_size": [
        one(conv(output_width=32), (3, 46, 46), values="33,856 bytes"),
        one(conv(out_offset=0x7FFC), (3, 2, 2)),
    ],
    "constraint_processors": [
        one(conv(0xF), values="3 bits are needed"),
        one(point(ALL >> 1), (100, 4, 4), [(4, 100, 1, 1)], values="52 bits are needed"),
    ],
    "constraint_output_processors": [
        one(conv(output_processors=0x7), values="4 bits are needed"),
        one(conv(output_processors=ALL >> 1), weights=[(100, 3, 3, 3)], values="52 bits are needed"),
    ],
    "constraint_padded_multi_pass": [
        one(conv1(3, ALL, pad=1), (128, 20, 1), [(4, 128, 3, 1)], device=MAX78002, values="128")
    ],
    "constraint_eltwise_conv1d": [one(conv1(eltwise="add"), (6, 20, 1), [(4, 3, 3, 1)])],
    "constraint_pool_last": [
        one({**passing(), "op": "add", "operands": 3, "max_pool": 2, "pool_stride": 2, "pool_first": False}, (9, 8, 8))
    ],
    "constraint_dilation_scratch": [
        one(conv1(3, dilation=11), (3, 60, 1), [(4, 3, 3, 1)], values="0x2c"),
    ],
    "constraint_passthrough_shift": [one(passing(output_shift=1)), one(passing(output_width=32))],
    "constraint_pooled_passes": [one(passing(ALL, max_pool=2, pool_stride=2), (128, 4, 4))],
    "constraint_passthrough_map": [
        one(passing(output_processors=0xD)),
        one(passing(0x7, output_processors=0x70000)),
        one(passing(0x1_0003, output_processors=0x3_0001)),
    ],
    "constraint_transposed_pad": [
        one({**conv(), "op": "ConvTranspose2d", "output_pad": 0}),
        one(conv(output_pad=1)),
    ],
    "constraint_groups": [
        one(conv(0xF, groups=2), (4, 8, 8), [(4, 2, 3, 3)], device=MAX78002),
        one(conv(0x3, groups=2), (2, 8, 8), [(4, 1, 3, 3)], device=MAX78002),
    ],
    "constraint_depthwise_combination": [
        one(conv(groups=3, bias_group=0), weights=[(3, 1, 3, 3)], device=MAX78002, values="bias_group"),
        one(
            point(7, groups=3, flatten=True, in_channels=3),
            (3, 1, 1),
            [(3, 1, 1, 1)],
            device=MAX78002,
            values="flatten",
        ),
    ],
    "constraint_depthwise_alignment": [
        one(conv(groups=3, output_processors=0xE), weights=[(3, 1, 3, 3)], device=MAX78002),
        one(
            conv(0x1FFFF << 2, groups=17, output_processors=0x1FFFF),
            (17, 8, 8),
            [(17, 1, 3, 3)],
            device=MAX78002,
        ),
    ],
    "constraint_flatten_combination": [
        one({**LINEAR, "processors": 7, "max_pool": 2, "pool_stride": 2}, (3, 8, 8), [(4, 48, 1, 1)]),
        one(passing(flatten=True, output_processors=7), (3, 1, 1)),
        one(conv(flatten=True), (3, 2, 2), [(4, 12, 3, 3)]),
    ],
    "constraint_eltwise_emulation": [
        one({**passing(ALL), "op": "add", "operands": 3, "max_pool": 2, "pool_stride": 2}, (384, 2, 2))
    ],
    "constraint_eltwise_rows": [
        one(
            {**passing(ALL), "op": "add", "operands": 3},
            (384, 600, 1),
            values="600 rows × 2 passes = 1200, the limit is 1024",
        )
    ],
    "constraint_eltwise_bias": [
        one(conv(eltwise="add"), (6, 8, 8), [Weights((4, 3, 3, 3), [1, 2, 3, 4])], device=MAX78002)
    ],
    "constraint_bias_group": [one(conv(bias_group=2), values="2")],
    "constraint_readahead": [
        one(conv(readahead=True, out_offset=0x2000), device=MAX78002),
        one(conv(readahead=True, in_offset=0x3FF0, out_offset=0x4000), (3, 8, 8), device=MAX78002),
    ],
    "constraint_operand_maps": [
        Case(
            [passing(), passing(0x7, output_processors=0x70), passing(0x7, in_sequences=[0, 1]) | {"op": "add"}],
            [],
            (3, 8, 8),
            layer=2,
        )
    ],
    "constraint_kernel_lanes": [
        one(point(0xF, output_processors=0x11), (4, 1, 1), [(2, 4, 1, 1)], values="output processor 4"),
        one(point(0xF, output_processors=0x1111), (4, 4, 4), [(4, 4, 1, 1)], values="output processor 4"),
        one(conv(output_processors=0x5), weights=[Weights((2, 3, 3, 3), bits=4, shift=-4)], values="processor 2"),
        one(conv(ALL >> 28, output_processors=0x33), (70, 8, 8), [(4, 70, 3, 3)], values="output processor 4"),
        one(conv(output_processors=0x1E), weights=[Weights((4, 3, 3, 3), bits=4)], values="output processor 1"),
        one({**LINEAR, "processors": 7, "output_processors": 0x1E}, (3, 2, 2), [(4, 12, 1, 1)], values="processor 1"),
        one(conv(bypass=True, output_processors=0xE), weights=[], device=MAX78002, values="bypass"),
    ],
    "constraint_calcx4_kernels": [
        one(point(0xF, calcx4=True), (4, 8, 8), [(4, 4, 1, 1)], device=MAX78002, values="kernels of 1 weights"),
        one(conv(calcx4=True, output_processors=0x1E), device=MAX78002, values="output map"),
        one(
            conv(calcx4=True, output_processors=0xFFFF),
            weights=[(16, 3, 3, 3)],
            device=MAX78002,
            mapping=replace(FAST, quad=True),
            values="quad mode",
        ),
        one(conv(calcx4=True), weights=[Weights((4, 3, 3, 3), bits=4)], device=MAX78002, values="passes of 4 bits"),
    ],
    "constraint_write_increment": [
        one(conv(write_gap=16), values="1 × 17 = 17, the MAX78000 supports up to 16"),
        one(passing(write_gap=256), device=MAX78002, values="up to 256"),
    ],
    "constraint_row_distance": [
        one(passing(read_gap=255, pool_stride=4), (3, 8, 100), device=MAX78002, values="words = ")
    ],
    "constraint_time_slots": [
        one(conv(0xFF, groups=8, output_processors=0xFF0, output_width=32), (8, 4, 4), [(8, 1, 3, 3)], device=MAX78002)
    ],
    "constraint_bias_lanes": [
        one(conv(output_processors=0xF0F), weights=[Weights((8, 3, 3, 3), range(8))]),
        one(conv(output_processors=0x33), weights=[Weights((4, 3, 3, 3), range(4))]),
    ],
    "caution_source_processors": [two(conv(0xF0, in_sequences=[0]), conv(output_processors=0xF))],
    "constraint_passthrough_lane": [one(passing(output_processors=0xE), values="0x000e")],
    "constraint_depthwise_lanes": [
        one(conv(0xE, groups=3, output_processors=0xB0), weights=[(3, 1, 3, 3)], device=MAX78002)
    ],
    "constraint_transposed_pooling": [
        one({**conv(max_pool=2, pool_stride=2), "op": "ConvTranspose2d"}, values="[2, 2]"),
        one(
            {**conv(max_pool=2, pool_stride=1, pool_dilation=2), "op": "ConvTranspose2d"},
            device=MAX78002,
            values="[2, 2]",
        ),
        one(
            {**conv(max_pool=2, pool_stride=1, read_gap=1), "op": "ConvTranspose2d"},
            device=MAX78002,
            values="read_gap = 1",
        ),
    ],
    "constraint_quad_device": [one(conv(), mapping=replace(FAST, quad=True), values="MAX78000")],
    "constraint_dilation_gap": [
        one(conv1(3, dilation=8, write_gap=1, out_offset=0x400), (3, 30, 1), [(4, 3, 3, 1)], values="write_gap = 1")
    ],
    "constraint_incomplete_pass": [
        one(conv(ALL >> 28), (70, 8, 8), [Weights((4, 70, 3, 3), bits=4, shift=-4)], values="70 channels")
    ],
    "constraint_binary_zeros": [
        one(
            {"op": "Conv1d", "kernel_size": 3, "dilation": 2, "pad": 0, "processors": 7, "out_offset": 0},
            (3, 20, 1),
            [Weights((4, 3, 3, 1), bits=-1, shift=-7)],
            device=MAX78002,
            values="5×1",
        )
    ],
    "caution_wide_alignment": [
        one(conv(output_processors=0x1E, output_width=32)),
        one(conv(output_processors=0x1D, output_width=32)),
    ],
    "caution_different_gaps": [joined(ADD, gaps=(0, 1))],
    "caution_eltwise_read_gap": [joined(ADD, gaps=(3, 3))],
    "caution_interleaved_sources": [joined(point(0xFF), gaps=(2, 2))],
    "caution_overlapping_sources": [joined(point(0xFF), maps=(0xF, 0x1E))],
    "caution_joined_offsets": [joined(point(0xFF), maps=(0xF, 0xF0))],
    "caution_stacked_offsets": [joined(ADD, gaps=(1, 1), second_offset=0x1010)],
    "caution_source_order": [joined(point(0xFF), maps=(0xF0, 0xF), second_offset=0x1000)],
    "caution_one_dimensional_data": [
        Case([conv1(1), conv(0xF, out_offset=0x400)], [(4, 3, 1, 1), (4, 4, 3, 3)], (3, 8, 1), layer=1)
    ],
    "hint_mergeable_passthrough": [Case([passing(), passing(out_offset=0x400)], [], (3, 8, 8))],
    "hint_moving_depthwise": [
        one(conv(0xF, groups=4, output_processors=0xF0), (4, 8, 8), [(4, 1, 3, 3)], device=MAX78002)
    ],
    "hint_channel_multiple": [
        Case([conv(output_processors=7), conv(7)], [(3, 3, 3, 3), (4, 3, 3, 3)], (3, 8, 8), layer=1)
    ],
}


def test_every_rule_has_a_case():
    assert set(CASES) == rules_tested("layers")


def each_case():
    for name, cases in CASES.items():
        for i, case in enumerate(cases):
            yield pytest.param(name, case, id=f"{name} {i}")


@pytest.mark.parametrize(("name", "case"), list(each_case()))
def test_rule(name, case, capsys):
    console = Console(verbosity=1)
    rule = RULES[name]
    if name.startswith("constraint"):
        with pytest.raises(Ai8xError) as caught:
            case.check(console)
        found = [str(caught.value)]
        assert "\n" not in found[0]
    elif name.startswith("caution"):
        case.check(console)
        found = console.warnings
    else:
        case.check(console)
        found = capsys.readouterr().err.splitlines()
    text = rule_text(rule)
    (message,) = [line for line in found if text in line]
    assert re.search(rf": layer {case.layer}(: | \()", message)
    assert "net.yaml:" in message
    assert case.values in message


GOOD = [
    Case([conv(), conv(0xF)], [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 8, 8)),
    Case([conv(), conv(0xF)], [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 8, 8), MAX78002, FIFO),
    Case([conv(**STREAM), conv(0xF, **STREAM)], [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 8, 8), MAX78000, FIFO),
    Case([conv(bypass=True)], [], (3, 8, 8), MAX78002),
    Case([conv(groups=3, output_processors=7)], [(3, 1, 3, 3)], (3, 8, 8), MAX78002),
    Case([point(ALL)], [(4, 1024, 1, 1)], (1024, 4, 4)),
    Case([passing(ALL, max_pool=2, pool_stride=2)], [], (128, 4, 4), MAX78002),
    Case([conv1(2, dilation=1023)], [(4, 3, 2, 1)], (3, 1024, 1)),
    Case([conv(output_width=32)], [Weights((4, 3, 3, 3), shift=15)], (3, 8, 8)),
    Case([conv()], [(4, 3, 3, 3)], (3, 90, 90)),
]


@pytest.mark.parametrize("case", GOOD, ids=range(len(GOOD)))
def test_networks_within_the_rules(case, console):
    case.check(console)
    assert not console.warnings


def test_precedence():
    """Sizes come after the row limit, device features and before maps."""
    huge = one(conv(0xF), (3, 1025, 1025))
    with pytest.raises(Ai8xError, match=r"Rows and columns must not exceed the limit of the device"):
        huge.check(Console(verbosity=-1))
    depthwise = one(conv(0xF, groups=3), (3, 200, 200), [(3, 1, 3, 3)])
    with pytest.raises(Ai8xError, match=r"Depthwise convolution needs a MAX78002"):
        depthwise.check(Console(verbosity=-1))
    large = one(conv(0xF), (3, 200, 200))
    with pytest.raises(Ai8xError, match=r"The input must fit the data memory"):
        large.check(Console(verbosity=-1))
