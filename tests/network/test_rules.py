"""Each rule about networks is broken by a small one; the message is its own."""

from __future__ import annotations

import pytest

from ai8x_tool.network import BUFFER, INPUT, Buffer, Layer
from tests.support.rule_cases import builds, check_message, conv, each_case, passing, point, resolves, rules_tested

SOURCES = [conv(), conv(0xF, out_offset=0x400), {**passing(0xF, in_sequences=[0, 1]), "op": "add"}]
TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]

CASES = {
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
    "constraint_operand_sources": [
        resolves([conv(), {**passing(0xF), "op": "add"}], [TWO[0]], words="2 operands, but it reads layer 0")
    ],
    "constraint_sources_exist": [
        builds(Layer("a", ()), words="no inputs"),
        builds(Layer("a", ("b",)), words="there is no layer 'b'"),
    ],
    "constraint_unique_name": [
        builds(Layer("a", (INPUT,)), Layer("A", (INPUT,)), words="'A' is used already", where="layer 1")
    ],
    "constraint_wide_output_activation": [
        resolves([conv(output_width=32, activate="ReLU")], [TWO[0]], words="activate = relu"),
        builds(Layer("a", (INPUT,), output_width=32, activation="abs"), words="activate = abs"),
    ],
    "constraint_equal_strides": [
        resolves([passing(max_pool=2, pool_stride=[1, 2])], words="pool_stride = [1, 2]"),
        builds(Layer("a", (INPUT,), pool_stride=(1, 2)), words="pool_stride = [1, 2]"),
    ],
    "constraint_stride": [
        resolves([conv(stride=2)], [TWO[0]], words="stride = [2, 2]"),
        builds(Layer("a", (INPUT,), "linear", stride=(1, 2)), words="stride = [1, 2]"),
    ],
    "constraint_pad_passthrough": [
        resolves([passing(pad=1)], words="pad = 1"),
        builds(Layer("a", (INPUT,), "none", pad=(1, 0)), words="pad = 1"),
    ],
    "constraint_pad_kernel": [
        resolves([point(7, pad=1)], [(4, 3, 1, 1)], words="pad = 1, kernel 1×1"),
        builds(Layer("a", (INPUT,), kernel=(3, 3), pad=(3, 3)), words="pad = 3, kernel 3×3"),
    ],
    "constraint_passthrough_activation": [
        resolves([passing(activate="ReLU")], words="activate = relu"),
        builds(Layer("a", (INPUT,), "none", activation="abs"), words="activate = abs"),
    ],
    "constraint_buffer_shift": [
        builds(Layer("a", (BUFFER,), buffer_shift=1), buffer=Buffer("past", 3, (8, 1)), words="operation = conv2d")
    ],
    "constraint_no_cycle": [builds(Layer("a", ("b",)), Layer("b", ("a",)), words="it waits for b")],
}


def test_every_rule_has_a_case():
    assert set(CASES) == rules_tested("networks")


@pytest.mark.parametrize(("name", "case"), each_case(CASES))
def test_rule(name, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_message(name, case, capsys)
