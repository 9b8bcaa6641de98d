"""Activation ranges in the quantize step."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.quantization import quantize
from ai8x_tool.quantization.rules import Clipping, fold_range, quantize_trained

NETWORK = """
arch: net
dataset: none
layers:
  - {op: Conv2d, kernel_size: 1x1, processors: 1, out_offset: 0x2000, output_width: %d}
"""


@pytest.mark.parametrize(
    ("largest", "exponent", "shift"),
    [
        (0.5104, 2, -2),
        (0.4946, 0, -1),
        (0.4391, 1, -2),
        (1.8484, 0, 1),
        (0.5674, -1, 1),
        (5.4086, 3, 0),
        (0.3827, 1, -2),
    ],
)
def test_worked_examples(largest, exponent, shift):
    weights = torch.tensor([largest, -0.1])
    assert fold_range(quantize_trained(weights, None, 8, 1.0).output_shift, exponent, 8).shift == shift


@given(st.sampled_from([1, 2, 4, 8]), st.integers(-22, 23), st.integers(-40, 40))
def test_limits(bits, shift, exponent):
    """What the accelerator cannot do is reported, the stored value is limited."""
    folded = fold_range(shift, exponent, bits)
    assert folded.shift == min(max(shift - exponent, -7 - bits), 23 - bits)
    legal = -23 + bits <= shift - exponent <= 7 + bits and folded.shift == shift - exponent
    assert (folded.problem is None) == legal


def state_of(**values):
    """A layer of a file of the newer scheme, largest weight 0.75, with 4 bits."""
    state = OrderedDict()
    state["a.output_shift"] = torch.zeros(1)
    if values.get("threshold") is not None:
        state["a.activation_threshold"] = torch.as_tensor(float(values["threshold"]))
        state["a.final_scale"] = torch.as_tensor(float(values.get("scale", 0)))
    state["a.weight_bits"] = torch.tensor([4])
    state["a.op.weight"] = torch.tensor([[[[0.75]]], [[[-0.5]]]])
    return state


@pytest.fixture
def quantized(tmp_path, console):
    """Return a function that quantizes a state dict and returns what was written."""

    def function(state, width=None, **options):
        source, target = tmp_path / "t.pth.tar", tmp_path / "q.pth.tar"
        torch.save({"epoch": 1, "arch": "net", "state_dict": state, "extras": {}}, source)
        if width is not None:
            options["network"] = tmp_path / "net.yaml"
            options["network"].write_text(NETWORK % width)
        quantize(source, target, MAX78000, console, **options)
        return read_checkpoint(target).state

    return function


@pytest.mark.parametrize(("threshold", "shift"), [(None, 0), (0, 0), (2, -2), (-3, 3), (11, -11), (19, -11), (-30, 19)])
def test_presence_of_the_key_decides(quantized, console, threshold, shift):
    """Other keys keep their values, shapes and places."""
    state = state_of(threshold=threshold, scale=3)
    result = quantized(state)
    assert list(result) == [*state] if "a.bias_bits" not in result else True
    assert result["a.output_shift"].tolist() == [shift]
    assert result["a.op.weight"].ravel().tolist() == [6, -4]
    if threshold is not None:
        assert (result["a.activation_threshold"].shape, result["a.activation_threshold"]) == ((), threshold)
        assert result["a.final_scale"] == 3
    limited = threshold in (19, -30)
    assert bool(console.warnings) == limited
    assert all("'a.op.weight'" in text and "the output shift" in text for text in console.warnings)


def test_an_output_shift_that_synthesis_would_refuse_is_reported(quantized, console):
    quantized(state_of(threshold=-15))
    assert "the output shift 15 is outside -19 … 11, which 4-bit weights allow" in console.warnings[0]


def test_a_32_bit_output_has_no_shift_to_warn_about(quantized, console):
    assert quantized(state_of(threshold=-15), width=32)["a.output_shift"].tolist() == [15]
    assert console.warnings == []
    quantized(state_of(threshold=-15), width=8)
    assert console.warnings


@pytest.mark.parametrize("values", [{"threshold": 1}, {"threshold": 0, "scale": -1}])
def test_clipping_methods_need_a_file_without_ranges(quantized, values):
    with pytest.raises(Ai8xError, match="activation ranges require the QAT information") as caught:
        quantized(state_of(**values), clipping=Clipping("MAX"))
    assert "'a." in str(caught.value)
    assert "--clip-method" in str(caught.value)
    quantized(state_of(threshold=0), clipping=Clipping("MAX"))


@pytest.mark.parametrize("value", [0.5, float("inf"), float("nan"), [1.0, 2.0]])
def test_a_range_is_one_whole_number(quantized, value):
    state = state_of(threshold=0)
    state["a.activation_threshold"] = torch.tensor(value)
    for options in ({}, {"clipping": Clipping("MAX")}):
        with pytest.raises(Ai8xError, match=r"'a\.activation_threshold'"):
            quantized(state, **options)


def test_a_quantized_file_is_not_folded_twice(quantized, tmp_path, console):
    quantized(state_of(threshold=2))
    with pytest.raises(Ai8xError, match="already quantized"):
        quantize(tmp_path / "q.pth.tar", tmp_path / "qq.pth.tar", MAX78000, console)
    assert not (tmp_path / "qq.pth.tar").exists()
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "q.pth.tar").state["a.output_shift"], [-2])
