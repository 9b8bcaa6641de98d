"""Each rule about descriptions and parameters is broken by one small network; the message is its own."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78002
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions
from tests.support.networks import random_kernels
from tests.support.rule_cases import (
    arrays,
    check_message,
    conv,
    conv1,
    each_case,
    loads,
    passing,
    point,
    read,
    resolves,
    rules_tested,
)

BUFFER = {"name": "past", "processors": 7, "channels": 3, "dim": 8, "offset": 0}
UNLOAD = {"processors": 7, "channels": 3, "dim": [2, 2], "offset": 0}
TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]

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
        read(
            conv(), unload=[{**UNLOAD, "dim": [50, 50], "width": 32}], words="40,000 bytes from offset 0x0 on, 32,768"
        ),
    ],
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
    "hint_no_output_offset": [read({"op": "none", "processors": 7})],
    "caution_channel_skip": [read(conv(in_channel_skip=3))],
    "hint_no_operation": [read({"processors": 7, "out_offset": 0})],
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
        loads((4, 3, 1, 1), words="the kernels are 1×1, but kernel_size is 3×3 (set it to 1x1"),
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
    "constraint_chw_first_layer": [resolves([conv(), conv(0xF, data_format="CHW")], TWO, words="data_format = CHW")],
    "constraint_joined_channels": [
        resolves(
            [conv(), conv(7, in_sequences="input"), point(0xFF, in_sequences=[0, 1])],
            [TWO[0], (8, 3, 3, 3), (4, 12, 1, 1)],
            words="layer 0 has 4, layer 1 has 8",
        )
    ],
}


def test_every_rule_has_a_case():
    assert set(CASES) == rules_tested("descriptions")


@pytest.mark.parametrize(("name", "case"), each_case(CASES))
def test_rule(name, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_message(name, case, capsys)
