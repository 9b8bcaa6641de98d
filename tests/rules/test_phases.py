"""Rules outside the phases of resolved layers: each is broken by one small network, and the message is its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions
from ai8x_tool.lowering.options import LoweringOptions, SynthesizedInput
from ai8x_tool.network import INPUT, Layer
from ai8x_tool.report.rule_catalogue import CATALOGUE
from ai8x_tool.rule import rule_kind, rule_text
from tests.support.networks import Weights, random_kernels, random_sample
from tests.support.rule_cases import (
    RULES_OF_LAYERS,
    arrays,
    builds,
    conv,
    conv1,
    loads,
    makes,
    maps,
    passing,
    point,
    read,
    resolves,
    stores,
)

ALL = (1 << 64) - 1
EARLIER = set(RULES_OF_LAYERS)
RULES = {rule.__name__: rule for phase in CATALOGUE for rule in phase.rules if rule.__name__ not in EARLIER}


BUFFER = {"name": "past", "processors": 7, "channels": 3, "dim": 8, "offset": 0}
UNLOAD = {"processors": 7, "channels": 3, "dim": [2, 2], "offset": 0}
STREAM = {"streaming": True}
SOURCES = [conv(), conv(0xF, out_offset=0x400), {**passing(0xF, in_sequences=[0, 1]), "op": "add"}]
TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]
BIASED = Weights((4, 3, 3, 3), np.ones(4, int))
SYNTHESIZED = LoweringOptions(synthesized_input=SynthesizedInput(0x10, 8))

CASES = {
    "constraint_one_buffer": [read(conv(), data_buffer=[BUFFER, BUFFER], words="2 are given")],
    "constraint_sequence_limit": [read(conv(sequence=32), words="32 layers"), read(*33 * [conv()])],
    "constraint_sequence_unique": [read(conv(sequence=3), conv(sequence=3), words="number 3 is already used")],
    "constraint_buffer_declared": [read(passing(buffer_insert=1), words="buffer_insert = 1")],
    "constraint_layer_name": [
        read(conv(name="A"), conv(name="a"), words="layer 0 has this name"),
        read(conv(name="Stop"), words="reserved"),
        read(conv(name="PAST"), data_buffer=[BUFFER], words="reserved"),
    ],
    "constraint_reference": [
        read(conv(name="first"), conv(in_sequences="frist"), words="did you mean 'first'?"),
        read(conv(), conv(weight_source=7), words="weight_source = 7"),
        read(conv(), conv(simulated_sequence=7), words="simulated_sequence = 7"),
    ],
    "constraint_sources_named": [read(conv(in_sequences=[]))],
    "constraint_unload_width": [read(conv(), unload=[{**UNLOAD, "width": 16}], words="width = 16")],
    "constraint_item_offset": [
        read(conv(), unload=[{**UNLOAD, "offset": 6}], words="offset = 6"),
        read(conv(), data_buffer=[{**BUFFER, "offset": 6}], words="offset = 6"),
    ],
    "constraint_item_dimensions": [read(conv(), unload=[{**UNLOAD, "dim": 1025}], words="1024×1024")],
    "constraint_unload_processors": [
        read(conv(), unload=[{**UNLOAD, "channels": 100}], words="has 3 bits, 100 channels need 52")
    ],
    "constraint_unload_memory": [
        read(conv(), unload=[{**UNLOAD, "offset": 0x7FF4}], words="2×2 pixels × 1 passes × 4 bytes = 16 bytes"),
        read(conv(), unload=[{**UNLOAD, "dim": [50, 50], "width": 32}], words="40,000 bytes from offset 0x0, 32,768"),
    ],
    "constraint_processor_map": [read(conv(), {"op": "none", "out_offset": 0}, words="no processors")],
    "constraint_one_spelling": [read(conv(operation="Conv2d"), words="'op'")],
    "constraint_operands_eltwise": [read(conv(operands=2), words="operands = 2")],
    "constraint_operand_count": [
        read({**passing(), "op": "add", "operands": 17}, words="operands = 17"),
        read({**passing(), "op": "add", "operands": 1}, words="operands = 1"),
    ],
    "constraint_dilation_passthrough": [read(passing(dilation=2), words="dilation = 2")],
    "constraint_stride_pair": [read(conv(stride=[1, 2]), words="[1, 2]")],
    "constraint_transposed_stride": [read({**conv(), "op": "ConvTranspose2d", "stride": 1}, words="stride = 1")],
    "constraint_kernel_size": [
        read(conv(kernel_size="5x5"), words="'5x5'"),
        read(conv(kernel_size="1x3"), words="'1x3'"),
        read({**conv(), "op": "ConvTranspose2d", "kernel_size": "1x1"}, words="'1x1'"),
        read(conv1(10), words="10"),
        read(conv1(0), words="0"),
        read({"op": "Linear", "processors": 7, "out_offset": 0, "kernel_size": "1x1"}, words="remove the key"),
    ],
    "constraint_one_pooling": [read(conv(max_pool=2, avg_pool=2))],
    "constraint_pool_range": [
        read(conv(max_pool=17), words="max_pool = 17"),
        read(conv(avg_pool=[2, 17]), words="avg_pool = [2, 17]"),
        read(conv(pool_stride=17), words="pool_stride = 17"),
    ],
    "constraint_pool_dilation_alone": [read(conv(pool_dilation=2), words="pool_dilation = 2")],
    "constraint_output_width": [read(conv(output_width=16), words="output_width = 16")],
    "constraint_word_offsets": [
        read(conv(in_offset=2), words="for example 0x4"),
        read(conv(out_offset=6), words="for example 0x8"),
    ],
    "constraint_stride_pooled": [read(conv(max_pool=2, pool_stride=2, stride=2), words="stride = 2")],
    "constraint_pool_order": [
        read({**passing(), "op": "add", "pool_first": False}),
        read(conv(max_pool=2, pool_stride=2, pool_first=False)),
    ],
    "constraint_buffer_source": [read(passing(buffer_shift=1), data_buffer=[BUFFER])],
    "constraint_buffer_target": [
        read({"op": "none", "processors": 7, "buffer_insert": 1}, data_buffer=[BUFFER], words="buffer_insert = 1")
    ],
    "constraint_buffer_reader": [
        read(passing(in_sequences="past", in_offset=4), data_buffer=[BUFFER], words="in_dim, in_channels missing")
    ],
    "caution_pool_stride": [read(conv(avg_pool=2), words="avg_pool = 2")],
    "caution_no_output_offset": [read({"op": "none", "processors": 7})],
    "caution_channel_skip": [read(conv(in_channel_skip=3))],
    "caution_no_operation": [read({"processors": 7, "out_offset": 0})],
    "hint_no_activation": [read({"op": "Conv2d", "processors": 7, "out_offset": 0})],
    "caution_unknown_architecture": [loads(arch=None)],
    "constraint_architecture": [loads(arch="ai85net5", words="'ai85net5'")],
    "constraint_folded_norm": [
        loads(extra={"c.bn.weight": np.ones(4)}, words="'c.bn.weight': batch normalization was not folded"),
        loads(extra={"n.weight": np.ones(4)}, words="one-dimensional weights"),
    ],
    "caution_ignored_norm": [
        loads(extra={"c.bn.weight": np.ones(4)}, options=ParameterOptions(ignore_batchnorm=True), words="'c.bn.weight'")
    ],
    "constraint_parameter_count": [loads(options=ParameterOptions(skip=1), words="no weight tensor, but 1 layers")],
    "constraint_integer_values": [loads(np.full((4, 3, 3, 3), 0.5)), loads(bias=[0.5, 1, 2, 3])],
    "constraint_integer_arrays": [arrays(np.ones((4, 3, 3, 3)), "float64")],
    "constraint_weight_shape": [
        loads((4, 0, 3, 3), words="4×0×3×3"),
        loads((4, 1, 3, 3, 1), words="5 dimensions"),
        arrays(np.ones(3, int), "1 dimensions"),
    ],
    "constraint_kernel_match": [
        loads((4, 3, 1, 1), words="the kernels are 1×1, but kernel_size says 3×3 (set it to 1x1"),
        arrays(np.ones((4, 3, 3), int), "the kernels are 3×1"),
    ],
    "caution_taken_as_binary": [loads(random_kernels((4, 3, 3, 3), -1))],
    "caution_zero_weights": [loads(np.zeros((4, 3, 3, 3)))],
    "constraint_weight_width": [loads(bits=3, words="3-bit"), loads(bits=16, words="16-bit")],
    "constraint_binary_weights": [loads(layer=conv(quantization="bin"))],
    "constraint_weight_range": [
        loads(
            np.full((4, 3, 3, 3), 5), layer=conv(quantization=2), words="5 … 5 do not fit 2 bits (quantize with 2 bits"
        ),
        loads(np.full((4, 3, 3, 3), 5), layer=conv(quantization=1), words="or set quantization to 4"),
        loads(np.full((4, 3, 3, 3), 128)),
    ],
    "constraint_array_range": [arrays(np.full((4, 3, 3, 3), 128), "128 … 128")],
    "constraint_bias_shape": [loads(bias=[[128], [128]], words="2 dimensions"), loads(bias=[], words="it is empty")],
    "constraint_bias_range": [loads(bias=[0, 0, 0, 128 * 128], words="0 … 128 do not fit 8 bits")],
    "hint_zero_bias": [loads(bias=[0, 0, 0, 0])],
    "constraint_start_layer": [
        resolves([conv()], [TWO[0]], start_layer=1, words="start layer 1", where="--start-layer")
    ],
    "constraint_stop_layer": [resolves([conv()], [TWO[0]], stop_after=3, words="layer 3", where="--stop-after")],
    "constraint_endless_order": [
        resolves([conv(), conv(next_sequence=0)], 2 * [(3, 3, 3, 3)], device=MAX78002, words="layer 0: Each layer")
    ],
    "constraint_list_order": [resolves([conv(), conv(next_sequence=0)], 2 * [(3, 3, 3, 3)], words="next_sequence = 0")],
    "caution_no_successor": [resolves([conv(next_sequence=9)], [(3, 3, 3, 3)], device=MAX78002, words="9")],
    "constraint_executed": [
        resolves([conv(next_sequence=2), conv(), conv()], 3 * [(3, 3, 3, 3)], device=MAX78002, words="layer 1: ")
    ],
    "constraint_shared_kernel": [
        resolves(
            [conv(name="a"), conv(kernel_size="1x1", pad=0, weight_source="a")],
            [(3, 3, 3, 3)],
            words="kernels are 3×3, but here 1×1",
        )
    ],
    "constraint_weight_source": [resolves([passing(), conv(weight_source=0)], words="weight_source = 0")],
    "constraint_executed_sources": [resolves([passing(), passing(in_sequences=1)], words="in_sequences = 1")],
    "constraint_source_channels": [
        resolves([conv(), conv(0xFF), SOURCES[2]], [(8, 3, 3, 3), (4, 8, 3, 3)], words="layer 0 has 8, layer 1 has 4")
    ],
    "constraint_source_sizes": [
        resolves([SOURCES[0], conv(0xF, pad=0), SOURCES[2]], TWO, words="layer 0 is 8×8, layer 1 is 6×6 (give in_dim)")
    ],
    "constraint_source_pixels": [
        resolves(
            [*SOURCES[:2], {**SOURCES[2], "in_dim": [8, 4]}], TWO, words="needs 32 pixels per channel, the sources have"
        )
    ],
    "constraint_pooled_size": [
        resolves(
            [conv(max_pool=4, pool_stride=1)], [TWO[0]], (3, 3, 8), words="pooling (4×4) is larger than the data (3×8)"
        )
    ],
    "constraint_kernel_fits": [resolves([conv(pad=0)], [TWO[0]], (3, 2, 8), words="the kernel (3×3) is larger")],
    "constraint_flatten_pixels": [
        resolves([point(7, flatten=True)], [(4, 192, 1, 1)], (3, 3, 5), words="192 weights per output")
    ],
    "constraint_input_channels": [
        resolves([conv(), conv(0xF, in_sequences=[0])], [(8, 3, 3, 3), (4, 4, 3, 3)], words="expect 4 input channels"),
        resolves([conv(in_channels=2)], [TWO[0]], words="the input gives 2 of 8×8 pixels"),
    ],
    "constraint_output_channels": [resolves([conv(out_channels=5)], [TWO[0]], words="have 4 outputs")],
    "constraint_dilation": [
        maps([conv(dilation=2)], [TWO[0]], words="operation = conv2d"),
        maps([conv1(1, dilation=2)], [(4, 3, 1, 1)], (3, 30, 1), words="kernel 1×1"),
    ],
    "constraint_dilation_limit": [
        maps([conv1(2, dilation=1024)], [(4, 3, 2, 1)], (3, 1030, 1), words="dilation = 1024, the MAX78000")
    ],
    "constraint_dilation_combination": [
        maps(
            [conv1(4, dilation=5)], [(4, 3, 4, 1)], (3, 60, 1), words="reach over 16 samples, which needs a kernel of"
        ),
        maps([conv1(3, dilation=5, pad=1)], [(4, 3, 3, 1)], (3, 60, 1), words="needs pad 0"),
    ],
    "constraint_synthesized_fifo": [
        makes([conv()], [TWO[0]], lowering=SYNTHESIZED, words="no FIFO"),
        makes([conv(0x1_0001_0001, data_format="CHW")], [TWO[0]], fifo=True, lowering=SYNTHESIZED, words="CHW"),
    ],
    "constraint_synthesized_sample": [
        makes([conv()], [TWO[0]], (3, 5, 5), fifo=True, lowering=SYNTHESIZED, words="3 channels, 25 pixels, 8 words")
    ],
    "constraint_sample_shape": [makes([conv()], [TWO[0]], sample=random_sample((2, 8, 8)), words="2×8×8")],
    "constraint_quadrant_0": [maps([conv(7 << 16, output_processors=0xF0000)], [TWO[0]], words="quadrants 1 are used")],
    "constraint_even_passes": [
        maps([point((1 << 36) - 1, flatten=True)], [(4, 280, 1, 1)], (70, 2, 2), words="70 channels cannot be divided")
    ],
    "constraint_calcx4_outputs": [maps([conv(calcx4=True)], [(6, 3, 3, 3)], device=MAX78002, words="not 6")],
    "constraint_quad_outputs": [
        maps([conv()], [Weights((10, 3, 3, 3), bits=2)], device=MAX78002, quad=True, words="a multiple of 16")
    ],
    "constraint_kernel_memory": [
        maps(
            [point(ALL), conv(ALL, out_offset=0x400)],
            [(64, 64, 1, 1), (1024, 64, 3, 3)],
            (64, 4, 4),
            words="layer 1: The kernels of all layers fit",
        )
    ],
    "constraint_calcx4_memory": [
        stores(0, 0xF, (4, 1, 3, 3), "ordinary kernel memory", flags={"calcx4": True}, reserved=np.arange(5120) < 4100)
    ],
    "constraint_kernel_conflict": [stores(1, 0xF, (4, 1, 3, 3), "kernels of layer 0", flags={}, owner=0)],
    "constraint_bias_memory": [
        maps(
            [conv(bias_group=0), point(ALL, bias_group=0, in_channels=64, output_processors=ALL)],
            [Weights((512, 3, 3, 3), np.full(512, 1)), Weights((64, 64, 1, 1), np.arange(64))],
            words="64 bytes (64 values) are needed, 0 of 512 are left in quadrant 0 (by quadrant 0: 0, 1: 512",
        )
    ],
    "constraint_buffer_output": [
        makes(
            [conv(**STREAM, out_offset=0x1000), conv(0xF0, **STREAM, out_offset=0x1010, output_processors=0xF0)],
            TWO,
            (3, 16, 16),
            fifo=True,
            words="layer 1: ",
        )
    ],
    "constraint_buffer_memory": [
        makes(
            [conv(**STREAM, out_offset=0x7FF0), conv(0xF0, **STREAM, out_offset=0x2000, output_processors=0xF00)],
            TWO,
            (3, 16, 16),
            fifo=True,
            words="leaves data memory (0x8000)",
        )
    ],
    "constraint_buffers_apart": [
        makes(
            [
                conv(**STREAM, out_offset=0x1000, output_processors=0xF0),
                conv(0xF0, **STREAM, out_offset=0x2000, output_processors=0xF00),
                conv(0xF00, **STREAM, out_offset=0x1004, output_processors=0xF0),
                conv(0xF0, **STREAM, out_offset=0x3000, output_processors=0xF000),
            ],
            [TWO[0], *3 * [TWO[1]]],
            (3, 16, 16),
            fifo=True,
            words="layer 3: ",
        )
    ],
    "constraint_buffers_readahead": [
        makes(
            [
                conv(**STREAM, out_offset=0x1000, output_processors=0xF0),
                conv(0xF0, **STREAM, readahead=True, out_offset=0x5000, output_processors=0xF00),
            ],
            TWO,
            (3, 16, 16),
            MAX78002,
            fifo=True,
            words="begins at 0x1000, that of layer 0 at 0x0",
        )
    ],
    "constraint_stream_output": [
        makes(
            [conv(**STREAM, out_offset=0x1000), conv(0xF0, **STREAM, output_processors=0xF)],
            TWO,
            (3, 16, 16),
            MAX78002,
            fifo=True,
            words="of layer 0",
        )
    ],
    "constraint_output_memory": [
        makes([passing(out_offset=0x7F80, write_gap=3)], shape=(3, 4, 4), words="lies beyond data memory (0x8000)")
    ],
    "constraint_overwriting": [
        makes(
            [conv(out_offset=0x40)],
            [TWO[0]],
            words="overwrites input data that the layer has yet to read: offset 0x40 in the data memory of processors",
        )
    ],
    "constraint_input_memory": [
        makes([point(7, in_offset=0x13F80, read_gap=3)], [(4, 3, 1, 1)], (3, 4, 4), MAX78002, words="lies beyond")
    ],
    "constraint_reads_source": [
        makes([conv(out_offset=0x1000), conv(0xF, in_offset=0x1004)], TWO, words="lies at processor 0, offset 0x1000")
    ],
    "constraint_trailing_overlap": [makes([passing()], words="overwrites input data behind what the layer has read")],
    "hint_trailing_overlap": [
        makes(
            [
                passing(out_offset=0x400),
                passing(out_offset=0x800),
                passing(out_offset=0x400, in_sequences=0, in_offset=0x400),
            ],
            words="overwrites output of layer 0",
        )
    ],
    "constraint_chw_flatten": [
        makes(
            [{"op": "Linear", "processors": 0x111, "flatten": True, "data_format": "CHW", "out_offset": 0x1000}],
            [(4, 48, 1, 1)],
            (3, 4, 4),
            words="16 pixels",
        )
    ],
    "constraint_chw_first_layer": [resolves([conv(), conv(0xF, data_format="CHW")], TWO, words="data_format = CHW")],
    "constraint_joined_channels": [
        resolves(
            [conv(), conv(7, in_sequences="input"), point(0xFF, in_sequences=[0, 1])],
            [TWO[0], (8, 3, 3, 3), (4, 12, 1, 1)],
            words="layer 0 has 4, layer 1 has 8",
        )
    ],
    "constraint_operand_sources": [
        resolves([conv(), {**passing(0xF), "op": "add"}], [TWO[0]], words="2 operands, but it reads layer 0")
    ],
    "constraint_sources_exist": [
        builds(Layer("a", ()), words="no inputs", where="layer 0"),
        builds(Layer("a", ("b",)), words="there is no layer 'b'", where="layer 0"),
    ],
    "constraint_unique_name": [
        builds(Layer("a", (INPUT,)), Layer("A", (INPUT,)), words="'A' is used already", where="layer 1")
    ],
    "constraint_no_cycle": [builds(Layer("a", ("b",)), Layer("b", ("a",)), words="it waits for b", where="layer 0")],
    "caution_zero_output": [makes([conv(out_offset=0x1000)], [np.zeros((4, 3, 3, 3), int)], words="all outputs are 0")],
    "constraint_chw_passes": [
        makes(
            [point(0x1111_1111_1111_1111, data_format="CHW", eltwise="add", out_offset=0x1000)],
            [(4, 16, 1, 1)],
            (32, 4, 4),
        )
    ],
    "constraint_fifo_order": [
        makes([conv(0xF_0000_000F, out_offset=0x1000)], [(4, 8, 3, 3)], (8, 6, 6), fifo=True, words="use [0, 2]"),
        makes(
            [conv(0x1_0000_0001, data_format="CHW", out_offset=0x1000)],
            [(4, 2, 3, 3)],
            (2, 6, 6),
            fifo=True,
            words="CHW",
        ),
    ],
    "constraint_tram": [
        makes(
            [conv(7 << 4 * i, **STREAM, output_processors=7 << 4 * (i + 1)) for i in range(8)],
            8 * [(3, 3, 3, 3)],
            (3, 4, 1000),
            fifo=True,
            words="TRAM exhausted: ",
        )
    ],
    "constraint_stream_step": [
        makes(
            [conv(**STREAM, out_offset=0x1000), conv(0xF0, **STREAM, out_offset=0x4000, pool_stride=8)],
            TWO,
            (3, 16, 600),
            fifo=True,
            words="a row step of",
        )
    ],
    "caution_softmax_width": [
        makes([conv(out_offset=0x1000)], [TWO[0]], project={"softmax": True}, words="set output_width")
    ],
    "caution_mlator": [makes([conv(out_offset=0x1000, output_width=32)], [TWO[0]], project={"mlator": True})],
}


def test_every_rule_is_in_the_catalogue():
    """A rule that is defined anywhere is listed once, and so documented."""
    listed = [rule.__name__ for phase in CATALOGUE for rule in phase.rules]
    source = Path(__file__).resolve().parents[2] / "ai8x_tool"
    defined = [
        node.name
        for path in sorted(source.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("constraint_", "caution_", "hint_"))
    ]
    assert sorted(listed) == sorted(defined)
    assert len(set(listed)) == len(listed)


def test_texts_are_sentences():
    texts = [rule_text(rule) for phase in CATALOGUE for rule in phase.rules]
    assert all(texts)
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) < 150


def test_every_rule_has_a_case():
    assert set(CASES) == set(RULES)


def each_case():
    for name, cases in CASES.items():
        for i, case in enumerate(cases):
            yield pytest.param(name, case, id=f"{name} {i}")


@pytest.mark.parametrize(("name", "case"), list(each_case()))
def test_rule(name, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(verbosity=1)
    rule = RULES[name]
    if rule_kind(rule) == "constraint":
        with pytest.raises(Ai8xError) as caught:
            case.run(console)
        found = [str(caught.value)]
        assert "\n" not in found[0]
    else:
        case.run(console)
        found = console.warnings if rule_kind(rule) == "caution" else capsys.readouterr().err.splitlines()
    (message,) = [line for line in found if rule_text(rule) in line]
    assert case.words in message
    place = r"net\.yaml:\d+: (layer \d|unload item|data_buffer|network description)"
    assert case.where in message if case.where else re.search(place, message)
