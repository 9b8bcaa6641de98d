"""Conversion of one layer to integers."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.quantization import quantize
from ai8x_tool.quantization.rules import Clipping, quantile, quantize_clipped, quantize_trained


@pytest.mark.parametrize(
    ("largest", "factor", "shift"), [(2.1078, 32, 2), (1.0872, 64, 1), (0.5195, 128, 0), (0.2698, 256, -1)]
)
def test_worked_examples(largest, factor, shift):
    weights = torch.tensor([largest, -largest / 2, 0.1, -0.01])
    result = quantize_trained(weights, None, 8, 1.0)
    assert result.output_shift == shift
    expected = [min(127, math.floor(factor * float(w) + 0.5)) for w in weights]
    assert result.weights.tolist() == expected


@pytest.mark.parametrize(("bits", "low", "high", "step"), [(4, -64, 56, 8), (2, -4, 2, 2), (1, -1, 0, 1)])
def test_range_of_narrow_biases(bits, low, high, step):
    weights, bias = torch.tensor([0.7, -0.9]), torch.linspace(-1, 1, 51)
    values = quantize_trained(weights, bias, bits, 1.0).bias
    assert values.min() == low
    assert values.max() == high
    assert not (values % step).any()


FLOATS = st.floats(-4, 4, width=32, allow_subnormal=False)


@given(
    npst.arrays(np.float32, st.integers(1, 30), elements=FLOATS),
    st.one_of(st.none(), npst.arrays(np.float32, st.integers(1, 5), elements=FLOATS)),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1.0, 0.99, 0.9, 0.5]),
)
def test_formula(weights, bias, bits, level):
    """Element by element."""
    parameters = np.abs(np.concatenate([weights, *([] if bias is None else [bias])]))
    limit = float(torch.quantile(torch.from_numpy(parameters), level))
    inverse = np.float32(1) / np.float32(limit) if limit else np.float32(np.inf)
    exponent = np.floor(np.log2(inverse)) if np.isfinite(inverse) else np.inf
    exponent = int(min(max(exponent, -7 - bits), 23 - bits))
    given_bias = None if bias is None else torch.from_numpy(bias)
    result = quantize_trained(torch.from_numpy(weights), given_bias, bits, level)
    factor, low, high = 2.0 ** (bits - 1 + exponent), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert result.output_shift == -exponent

    def integers(values):
        return [min(max(math.floor(np.float32(factor * v) + np.float32(0.5)), low), high) for v in values]

    assert result.weights.tolist() == integers(weights)
    if bias is not None:
        assert result.bias.tolist() == [v * 2 ** (bits - 1) for v in integers(bias)]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_limits_of_the_shift(bits):
    """E from −7−n to 23−n."""
    assert quantize_trained(torch.tensor([1e-9]), None, bits, 1.0).output_shift == bits - 23
    assert quantize_trained(torch.tensor([1e9]), None, bits, 1.0).output_shift == 7 + bits
    assert quantize_trained(torch.zeros(3), None, bits, 1.0).output_shift == bits - 23


def test_quantile_of_large_tensors():
    """torch.quantile refuses tensors of more than 16 million elements: the same value is expected."""
    values = torch.linspace(0, 1, 16_000_003)
    assert float(quantile(values, 0.25)) == pytest.approx(0.25, abs=1e-6)
    assert float(quantile(values, 1.0)) == 1.0


WEIGHTS = torch.tensor([[0.5, -1.5, 0.25], [1.25, -0.5, 0.75]])


def scales():
    mean, deviation = WEIGHTS.mean().item(), WEIGHTS.std().item()
    low, high = max(-1.5, mean - deviation), min(1.25, mean + deviation)
    return {
        "MAX": (Clipping("MAX"), 1.5),
        "AVGMAX": (Clipping("AVGMAX"), max(abs((-1.5 - 0.5) / 2), abs((0.5 + 1.25) / 2))),
        "STDDEV": (Clipping("STDDEV", deviations=1.0), max(abs(low), abs(high))),
        "STDDEV, wide": (Clipping("STDDEV", deviations=9.0), 1.5),
        "SCALE": (Clipping("SCALE", scale=0.6), 0.6),
    }


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("name", scales())
def test_clipping_methods(name, bits):
    """The scale multiplies; the output shift stays."""
    clipping, scale = scales()[name]
    bias = torch.tensor([0.5, -0.1])
    result = quantize_clipped(WEIGHTS, bias, bits, clipping)
    factor, low, high = 2 ** (bits - 1) * scale, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def integers(values):
        return [min(max(math.floor(factor * v + 0.5), low), high) for v in values.flatten().tolist()]

    assert result.weights.flatten().tolist() == integers(WEIGHTS)
    assert result.bias.tolist() == [v * 2 ** (bits - 1) for v in integers(bias)]
    assert result.output_shift is None


def test_factors_are_of_float32():
    """All in float32; the factor of STDDEV is rounded there as often as written."""
    differs = 0
    for seed in range(40):
        weights = torch.randn(50, 20, generator=torch.Generator().manual_seed(seed)) / 7
        mean, deviation = np.float32(weights.mean()), np.float32(weights.std())
        reach = np.float32(1.7) * deviation
        scale = max(abs(mean - reach), abs(mean + reach))
        factor = np.float32(128) * scale
        expected = np.floor(factor * weights.numpy() + np.float32(0.5)).clip(-128, 127)
        result = quantize_clipped(weights, None, 8, Clipping("STDDEV", deviations=1.7))
        np.testing.assert_array_equal(result.weights.numpy(), expected)
        exact = max(abs(float(mean) - 1.7 * float(deviation)), abs(float(mean) + 1.7 * float(deviation)))
        differs += np.float32(exact) != scale
    assert differs > 0, "the two ways of rounding are told apart"


def test_deviations_must_be_positive():
    with pytest.raises(Ai8xError, match=r"above 0"):
        quantize_clipped(WEIGHTS, None, 8, Clipping("STDDEV", deviations=-1.0))


def layer_state(weights, bias=None, **parameters):
    names = ["output_shift", "weight_bits", "bias_bits", "quantize_activation", "adjust_output_shift"]
    state = OrderedDict((f"conv.{k}", torch.tensor([float(parameters[k])])) for k in names if k in parameters)
    state["conv.op.weight"] = weights
    if bias is not None:
        state["conv.op.bias"] = bias
    return state


@pytest.fixture
def quantized(tmp_path, console):
    """Return a function that quantizes a state dict by way of files and returns what was written."""

    def function(state, network=None, extras=None, **options):
        source, target = tmp_path / "qat.pth.tar", tmp_path / "out" / "q.pth.tar"
        torch.save({"epoch": 9, "arch": "net", "state_dict": state, "extras": extras or {}}, source)
        if network is not None:
            path = tmp_path / "net.yaml"
            path.write_text(network)
            options["network"] = path
        quantize(source, target, MAX78000, console, **options)
        return read_checkpoint(target)

    return function


QAT = {"output_shift": 0, "weight_bits": 8, "bias_bits": 8, "quantize_activation": 0, "adjust_output_shift": 1}
BIG = torch.tensor([[[[2.1]]], [[[-0.5]]]])


def test_other_keys(quantized):
    """Order, values and shapes."""
    state = layer_state(BIG, torch.tensor([0.25, -0.25]), **QAT)
    state["anchors"] = torch.tensor([1.5, 2.5])
    state["pool.quantize_activation"] = torch.tensor([0.0])
    result = quantized(state, extras={"best_top1": 98.5})
    assert list(result.state) == list(state)
    assert all(value.dtype == np.float32 for value in result.state.values())
    expected = {"output_shift": 2, "weight_bits": 8, "bias_bits": 8, "quantize_activation": 1, "adjust_output_shift": 0}
    assert {k: result.state[f"conv.{k}"].tolist() for k in expected} == {k: [v] for k, v in expected.items()}
    assert result.state["conv.op.weight"].shape == (2, 1, 1, 1)
    assert result.state["conv.op.weight"].ravel().tolist() == [67, -16]
    assert result.state["conv.op.bias"].tolist() == [8 * 128, -8 * 128]
    assert result.state["anchors"].tolist() == [1.5, 2.5]
    assert result.state["pool.quantize_activation"].tolist() == [1.0]
    assert (result.epoch, result.arch) == (9, "net")
    assert result.extras == {"best_top1": 98.5, "clipping_method": "MAX_BIT_SHIFT"}


@pytest.mark.parametrize(
    ("clipping", "extras"),
    [
        (Clipping("MAX"), {"clipping_method": "MAX"}),
        (Clipping("STDDEV", deviations=2.5), {"clipping_method": "STDDEV", "clipping_nstds": 2.5}),
        (Clipping("SCALE", scale=0.5), {"clipping_method": "SCALE", "clipping_scale": 0.5}),
    ],
)
def test_clipping_leaves_the_shift_and_says_so(quantized, clipping, extras):
    result = quantized(layer_state(BIG, output_shift=-3, weight_bits=8), clipping=clipping)
    assert result.state["conv.output_shift"].tolist() == [-3]
    assert result.extras == extras


@pytest.mark.parametrize(
    ("stored", "default", "bits"), [(4, None, 4), (4, 2, 4), (0, 2, 2), (None, 2, 2), (None, None, 8)]
)
def test_width(quantized, stored, default, bits):
    """Checkpoint, then option, then 8."""
    parameters = {} if stored is None else {"weight_bits": stored}
    result = quantized(layer_state(BIG, torch.zeros(2), **parameters), default_bits=default)
    assert result.state["conv.weight_bits"].tolist() == [bits]
    assert result.state["conv.bias_bits"].tolist() == [bits]
    assert result.state["conv.op.weight"].max() == {2: 1, 4: 4, 8: 67}[bits]
    keys = list(result.state)
    assert keys.index("conv.weight_bits") < keys.index("conv.op.weight")


NETWORK = """
arch: net
dataset: set
layers:
  - {op: none, processors: 1, out_offset: 0, max_pool: 2, pool_stride: 2}
  - {op: Conv2d, kernel_size: 1x1, pad: 0, processors: 1, out_offset: 0, quantization: 4}
  - {op: Conv2d, kernel_size: 1x1, pad: 0, processors: 1, out_offset: 0}
"""


def test_description_wins_and_counts_layers_with_weights(quantized):
    """The pooling layer in front takes no weights; surplus weights stay as they are."""
    state = OrderedDict()
    for name in "abc":
        for key, value in layer_state(BIG, weight_bits=8).items():
            state[key.replace("conv", name)] = value
    result = quantized(state, NETWORK)
    widths = [result.state[f"{name}.weight_bits"].item() for name in "abc"]
    assert widths == [4, 8, 8]
    assert result.state["a.op.weight"].ravel().tolist() == [4, -1]
    assert result.state["b.op.weight"].ravel().tolist() == [67, -16]
    np.testing.assert_array_equal(result.state["c.op.weight"], BIG)
    compact = quantized(state, NETWORK, compact=True).state
    np.testing.assert_array_equal(compact["c.op.weight"], BIG)
    assert compact["a.op.weight"].dtype == np.int8


def test_two_part_keys(quantized):
    state = OrderedDict([("fc.weight", torch.tensor([[0.5]])), ("fc.bias", torch.tensor([0.25]))])
    result = quantized(state)
    assert result.state["fc.weight"].item() == 127
    assert result.state["fc.bias"].item() == 64 * 128
    assert result.state["fc.output_shift"].item() == -1


def test_qatv2_remains(quantized):
    """Zero points of zero and the stored bias quantization disappear."""
    state = layer_state(BIG, weight_bits=8)
    state |= {"conv.w_zero_point": torch.zeros(1), "conv.b_zero_point": torch.zeros(1), "conv.base_b_q": torch.ones(1)}
    assert set(quantized(state).state) == {"conv.weight_bits", "conv.output_shift", "conv.op.weight"}


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("conv.bn.weight", torch.ones(2), "batch normalization cannot be folded"),
        ("conv.bn.running_mean", torch.ones(2), "batch normalization was not folded"),
        ("conv.w_zero_point", torch.ones(1), "zero points must be 0"),
        ("conv.op.weight", torch.tensor([[float("nan")]]), "infinite or undefined"),
        ("conv.weight_bits", torch.tensor([3.0]), "weight_bits = 3"),
        ("conv.weight_bits", torch.tensor([8.0, 4.0]), "must hold one number, not [8.0, 4.0]"),
        ("conv.shift_quantile", torch.tensor([0.5, 1.0]), "must hold one number"),
        ("conv.output_shift", torch.zeros(0), "must not be empty"),
        ("conv.op.bias", torch.zeros(0), "must not be empty"),
        ("conv.op.weight", torch.tensor([[1e300]], dtype=torch.float64), "infinite or undefined"),
    ],
)
def test_states_that_cannot_be_quantized(quantized, tmp_path, key, value, text):
    state = layer_state(BIG, weight_bits=8)
    state[key] = value
    with pytest.raises(Ai8xError) as caught:
        quantized(state)
    message = str(caught.value)
    assert "qat.pth.tar" in message
    assert text in message
    assert key.rpartition(".")[0] in message
    assert not (tmp_path / "out").exists()


def test_layers_with_several_weights_are_named(quantized, console):
    """Modules that are not fused, in a container: their names leave no place for a shift of each."""
    quantized(OrderedDict([("features.0.weight", BIG), ("features.3.weight", BIG), ("fc.weight", BIG)]))
    assert [text.partition(": ")[2] for text in console.warnings] == [
        "2 weight tensors of 'features' share the output shift of the last one, wrong for the others"
    ]


@pytest.mark.parametrize("method", ["MAX", "AVGMAX", "STDDEV", "SCALE"])
def test_a_single_weight(quantized, method, recwarn):
    """It has no standard deviation."""
    for value in (torch.tensor([[[[0.75]]]]), torch.tensor(0.75)):
        result = quantized({"conv.op.weight": value}, clipping=Clipping(method))
        scale = 0.85 if method == "SCALE" else 0.75
        assert result.state["conv.op.weight"].item() == math.floor(128 * scale * 0.75 + 0.5)
    assert [str(warning.message) for warning in recwarn if "std" in str(warning.message)] == []


def test_binary_weights_cannot_be_made(quantized):
    with pytest.raises(Ai8xError, match=r"net\.yaml:6: layer 1.*binary|net\.yaml:6.*binary"):
        quantized(layer_state(BIG), NETWORK.replace("quantization: 4", "quantization: bin"))


@pytest.mark.parametrize("bits", [0, 3, 16])
def test_default_width_that_does_not_exist(quantized, bits):
    with pytest.raises(Ai8xError, match=rf"{bits} weight bits"):
        quantized(layer_state(BIG), default_bits=bits)


def test_source_is_never_overwritten(tmp_path, console):
    path = tmp_path / "a.pth.tar"
    torch.save({"epoch": 0, "state_dict": layer_state(BIG)}, path)
    before = path.read_bytes()
    with pytest.raises(Ai8xError, match="output file already exists"):
        quantize(path, tmp_path / "." / "a.pth.tar", MAX78000, console)
    assert path.read_bytes() == before


def test_failed_writing_leaves_the_old_file(tmp_path, console, monkeypatch):
    from pathlib import Path

    source, target = tmp_path / "a.pth.tar", tmp_path / "q.pth.tar"
    torch.save({"epoch": 0, "state_dict": layer_state(BIG)}, source)
    target.write_text("old")

    def failing(self, other):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(Ai8xError, match=r"q\.pth\.tar: cannot be written: No space left on device"):
        quantize(source, target, MAX78000, console)
    assert target.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth.tar", "q.pth.tar"]


def test_optimizer_is_left_out(tmp_path, console):
    """What is written loads with weights_only."""
    source, target = tmp_path / "a.pth.tar", tmp_path / "q.pth.tar"
    content = {"epoch": 3, "arch": "net", "state_dict": layer_state(BIG), "optimizer_type": torch.optim.Adam}
    torch.save({**content, "optimizer_state_dict": {"state": {}, "param_groups": []}}, source)
    quantize(source, target, MAX78000, console)
    written = torch.load(target, weights_only=True)
    assert (written["epoch"], written["arch"]) == (3, "net")
    assert written["extras"]["clipping_method"] == "MAX_BIT_SHIFT"
    assert "extras" in "".join(console.warnings)


def test_details_for_those_who_ask(quantized, console, monkeypatch):
    """All names, and of every weight and bias what clip methods go by."""
    said = []
    monkeypatch.setattr(type(console), "detail", lambda _, text: said.append(text))
    state = layer_state(torch.tensor([[1.0, -3.0], [0.5, 2.0]]), torch.tensor([-0.25, 0.75]), weight_bits=4)
    quantized(state)
    assert said[0].endswith("conv.weight_bits, conv.op.weight, conv.op.bias")
    assert said[1:] == [
        "conv.op.weight: avgmax 1.5000, max 3.0000, mean 0.1250, 4 bits",
        "conv.op.bias: avgmax 0.2500, max 0.7500, mean 0.2500, 4 bits",
    ]
