"""Each rule about samples and programs is broken by a small network; the message is its own."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.lowering.options import LoweringOptions, SynthesizedInput
from tests.support.networks import random_sample
from tests.support.rule_cases import check_message, conv, each_case, makes, rules_tested

TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]
SYNTHESIZED = LoweringOptions(synthesized_input=SynthesizedInput(0x10, 8))

CASES = {
    "constraint_synthesized_fifo": [
        makes([conv()], [TWO[0]], lowering=SYNTHESIZED, words="no FIFO"),
        makes([conv(0x1_0001_0001, data_format="CHW")], [TWO[0]], fifo=True, lowering=SYNTHESIZED, words="CHW"),
    ],
    "constraint_synthesized_sample": [
        makes([conv()], [TWO[0]], (3, 5, 5), fifo=True, lowering=SYNTHESIZED, words="3 channels, 25 pixels, 8 words")
    ],
    "constraint_sample_shape": [makes([conv()], [TWO[0]], sample=random_sample((2, 8, 8)), words="2×8×8")],
    "caution_zero_output": [makes([conv(out_offset=0x1000)], [np.zeros((4, 3, 3, 3), int)], words="all outputs are 0")],
    "caution_softmax_width": [
        makes([conv(out_offset=0x1000)], [TWO[0]], project={"softmax": True}, words="set output_width")
    ],
    "caution_mlator": [makes([conv(out_offset=0x1000, output_width=32)], [TWO[0]], project={"mlator": True})],
}


def test_every_rule_has_a_case():
    assert set(CASES) == rules_tested("programs")


@pytest.mark.parametrize(("name", "case"), each_case(CASES))
def test_rule(name, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_message(name, case, capsys)
