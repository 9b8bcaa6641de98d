"""Weights and biases from checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions, load_parameters
from ai8x_tool.frontend.yaml.resolve import ResolveOptions, resolve
from ai8x_tool.network.layer import BINARY
from tests.support.networks import describe, random_kernels

EVERYTHING = ParameterOptions()
CONV = {"op": "Conv2d", "processors": 1, "out_offset": 0}


def checkpoint(state, arch="test_net", epoch=1):
    arrays = {key: np.asarray(value) for key, value in state.items()}
    return Checkpoint(Path("q.pth.tar"), arrays, epoch, arch, {}, {})


@pytest.fixture
def load(console):
    """Return a function that loads parameters for a list of layers."""

    def function(layers, state, device=MAX78000, options=EVERYTHING, **other):
        description = describe(layers, device)
        return load_parameters(description, checkpoint(state, **other), device, console, options)

    return function


@pytest.fixture
def fails(load):
    """Return a function that expects an error in one line and returns it."""

    def function(*arguments, **options):
        with pytest.raises(Ai8xError) as caught:
            load(*arguments, **options)
        message = str(caught.value)
        assert "q.pth.tar" in message
        assert "\n" not in message
        return message

    return function


def state_of(kernels, bias=None, bits=None, shift=None, name="conv", kind=np.float32):
    state = {}
    if shift is not None:
        state[f"{name}.output_shift"] = np.array([shift], np.float32)
    if bits is not None:
        state[f"{name}.weight_bits"] = np.array([bits], np.float32)
    state[f"{name}.op.weight"] = np.asarray(kernels).astype(kind)
    if bias is not None:
        state[f"{name}.op.bias"] = np.asarray(bias).astype(kind)
    return state


KERNELS = random_kernels((4, 2, 3, 3))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int8, np.int32])
def test_values_of_any_type(load, kind):
    loaded = load([CONV], state_of(KERNELS, shift=-2, kind=kind))[0]
    np.testing.assert_array_equal(loaded.weights, KERNELS)
    assert loaded.weights.dtype == np.int64
    assert (loaded.bits, loaded.shift, loaded.bias) == (8, -2, None)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_bias_is_divided_by_the_stored_width(load, bits):
    bias = np.array([3, -4, 0, 1]) * 2 ** (bits - 1)
    kernels = random_kernels((4, 2, 3, 3), bits)
    loaded = load([CONV], state_of(kernels, bias, bits))[0]
    np.testing.assert_array_equal(loaded.bias, [3, -4, 0, 1])
    assert loaded.bits == bits


def test_bias_is_rounded_down(load):
    loaded = load([CONV], state_of(KERNELS, [127, 128, -1, -129], 8))[0]
    np.testing.assert_array_equal(loaded.bias, [0, 1, -1, -2])


@pytest.mark.parametrize("stored", [None, 0])
def test_width_missing_or_zero_counts_as_eight(load, stored):
    loaded = load([CONV], state_of(KERNELS, 4 * [128], stored))[0]
    assert loaded.bits == 8
    np.testing.assert_array_equal(loaded.bias, [1, 1, 1, 1])


def test_bias_uses_the_stored_width_even_if_the_description_overrides_it(load):
    kernels = random_kernels((4, 2, 3, 3), 4)
    loaded = load([{**CONV, "quantization": 4}], state_of(kernels, 4 * [256], 8))[0]
    assert loaded.bits == 4
    np.testing.assert_array_equal(loaded.bias, [2, 2, 2, 2])


@pytest.mark.parametrize("value", [128 * 128, -129 * 128])
def test_bias_out_of_range(fails, value):
    message = fails([CONV], state_of(KERNELS, [0, 0, 0, value], 8))
    assert "bias" in message
    assert "8 bits" in message


SIGNS = random_kernels((4, 2, 3, 3), -1)


def test_signs_are_binary_on_the_max78002_only(load, console):
    assert load([CONV], state_of(SIGNS, bits=8), MAX78000)[0].bits == 8
    assert not console.warnings
    assert load([CONV], state_of(SIGNS, bits=8), MAX78002)[0].bits == BINARY
    assert "binary" in "".join(console.warnings)


def test_a_given_width_is_kept(load, console):
    assert load([{**CONV, "quantization": 8}], state_of(SIGNS), MAX78002)[0].bits == 8
    assert load([{**CONV, "quantization": "bin"}], state_of(SIGNS), MAX78002)[0].bits == BINARY
    assert load([{**CONV, "quantization": 8}], state_of(0 * KERNELS), MAX78000)[0].bits == 8


@pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda d: d.name)
def test_zeros_are_one_bit_wide(load, console, device):
    assert load([CONV], state_of(0 * KERNELS, bits=8), device)[0].bits == 1
    assert "all weights are 0" in "".join(console.warnings)


def test_binary_weights_must_be_signs(fails):
    assert "binary" in fails([{**CONV, "quantization": "binary"}], state_of(KERNELS), MAX78002)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_weights_that_do_not_fit_their_width(fails, load, bits):
    fitting = np.full((1, 1, 3, 3), -(1 << bits - 1))
    assert load([{**CONV, "quantization": bits}], state_of(fitting))[0].bits == bits
    message = fails([{**CONV, "quantization": bits}], state_of(-fitting))
    assert f"do not fit {bits} bits" in message
    assert "layer 0" in message


def test_stored_width_that_does_not_exist(fails):
    assert "16-bit" in fails([CONV], state_of(KERNELS, bits=16))
    assert "3-bit" in fails([CONV], state_of(KERNELS, bits=3))


@pytest.mark.parametrize("bits", [-2, 9, 1e30])
def test_bias_of_a_stored_width_that_does_not_exist(fails, bits):
    assert "-bit" in fails([{**CONV, "quantization": 8}], state_of(KERNELS, [1, 2, 3, 4], bits))


def test_unquantized_checkpoint(fails):
    message = fails([CONV], state_of(KERNELS / 128))
    assert "not quantized" in message
    assert "ai8x quantize" in message
    assert "'conv.op.weight'" in message


def test_unquantized_bias(fails):
    assert "not quantized" in fails([CONV], state_of(KERNELS, [0.5, 1, 2, 3]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_undefined_weights(fails, value):
    kernels = KERNELS.astype(np.float32)
    kernels[0, 0, 0, 0] = value
    with np.errstate(invalid="raise"):
        assert fails([CONV], state_of(kernels))


def test_architecture(fails, load, console):
    assert load([CONV], state_of(KERNELS), arch="Test_NET")
    message = fails([CONV], state_of(KERNELS), arch="ai85net5")
    assert "'ai85net5'" in message
    assert "'test_net'" in message
    assert not console.warnings
    assert load([CONV], state_of(KERNELS), arch=None)
    assert "architecture" in "".join(console.warnings)


def test_epoch_is_required(fails):
    assert "epoch" in fails([CONV], state_of(KERNELS), epoch=None)


@pytest.mark.parametrize(
    ("layer", "shape", "size"),
    [
        ({"op": "Conv2d", "kernel_size": "1x1", "pad": 0}, (4, 2, 3, 3), "3×3"),
        ({"op": "Conv2d"}, (4, 2, 1, 1), "1×1"),
        ({"op": "Conv2d"}, (4, 2), "1×1"),
        ({"op": "Conv1d", "kernel_size": 5}, (4, 2, 3), "3×1"),
        ({"op": "Linear"}, (4, 2, 3, 3), "3×3"),
        ({"op": "ConvTranspose2d"}, (4, 2, 5, 5), "5×5"),
    ],
)
def test_kernel_size_of_another_layer(fails, layer, shape, size):
    message = fails([{**CONV, **layer}], state_of(random_kernels(shape)))
    assert size in message
    assert "layer 0" in message


@pytest.mark.parametrize(
    ("layer", "shape", "result"),
    [
        ({"op": "Linear"}, (4, 6), (4, 6, 1, 1)),
        ({"op": "Conv1d", "kernel_size": 3}, (4, 2, 3), (4, 2, 3, 1)),
        ({"op": "Conv2d", "kernel_size": "1x1", "pad": 0}, (4, 2), (4, 2, 1, 1)),
    ],
)
def test_ranks(load, layer, shape, result):
    assert load([{**CONV, **layer}], state_of(random_kernels(shape)))[0].weights.shape == result


def test_transposed_convolutions_are_flipped(load):
    stored = random_kernels((2, 4, 3, 3))
    weights = load([{**CONV, "op": "ConvTranspose2d"}], state_of(stored))[0].weights
    assert weights.shape == (4, 2, 3, 3)
    for o, i, u, v in np.ndindex(weights.shape):
        assert weights[o, i, u, v] == stored[i, o, 2 - u, 2 - v]


def test_entries_are_assigned_in_stored_order(load):
    layers = [
        CONV,
        {"op": "none", "processors": 1, "out_offset": 0},
        {**CONV, "kernel_size": "1x1", "pad": 0},
        {**CONV, "weight_source": 0},
        {"op": "Linear", "processors": 1, "out_offset": 0},
    ]
    state = {
        **state_of(KERNELS, name="z"),
        **state_of(random_kernels((3, 4, 1, 1)), name="a.b"),
        "anchors": np.ones(4),
        **state_of(random_kernels((2, 3)), name="m"),
        **state_of(KERNELS, name="surplus"),
    }
    loaded = load(layers, state)
    assert {i: p.key for i, p in loaded.items()} == {0: "z.op.weight", 2: "a.b.op.weight", 4: "m.op.weight"}


def test_companions_of_keys_with_prefix(load):
    state = state_of(KERNELS, 4 * [256], 8, 3, name="module.conv1")
    loaded = load([CONV], state)[0]
    np.testing.assert_array_equal(loaded.bias, [2, 2, 2, 2])
    assert loaded.shift == 3


def test_two_part_keys(load):
    state = {"fc.weight": KERNELS, "fc.bias": np.array([128, 0, 0, 0])}
    np.testing.assert_array_equal(load([CONV], state)[0].bias, [1, 0, 0, 0])


def test_skipping_entries(load):
    state = {**state_of(random_kernels((2, 2, 5, 5)), name="a"), **state_of(KERNELS, name="b")}
    assert load([CONV], state, options=ParameterOptions(skip=1))[0].key == "b.op.weight"


def test_too_few_entries(fails):
    message = fails([CONV, CONV, CONV], {**state_of(KERNELS, name="a"), **state_of(KERNELS, name="b")})
    assert "2 weight" in message
    assert "3 layers" in message


@pytest.mark.parametrize("key", ["conv.bn.weight", "norm.weight"])
def test_one_dimensional_weights(fails, key):
    message = fails([CONV], {**state_of(KERNELS), key: np.ones(4)})
    assert repr(key) in message
    assert "fold" in message


def test_batch_norm_can_be_ignored(load, console):
    state = {"conv.bn.weight": np.ones(4), **state_of(KERNELS)}
    assert load([CONV], state, options=ParameterOptions(ignore_batchnorm=True))[0].key == "conv.op.weight"
    assert "'conv.bn.weight'" in "".join(console.warnings)


@pytest.mark.parametrize(("no_bias", "expected"), [((), [True, True]), ((1,), [True, False]), (None, [False, False])])
def test_ignoring_biases(load, no_bias, expected):
    state = {**state_of(KERNELS, 4 * [128], name="a"), **state_of(KERNELS, 4 * [128], name="b")}
    loaded = load([CONV, CONV], state, options=ParameterOptions(no_bias=no_bias))
    assert [loaded[i].bias is not None for i in (0, 1)] == expected


def test_output_shift_of_the_description_wins(load, fails):
    assert load([{**CONV, "output_shift": 4}], state_of(KERNELS, shift=-1))[0].shift == 4
    assert load([CONV], state_of(KERNELS))[0].shift == 0
    state = {**state_of(KERNELS), "conv.output_shift": np.array([1.0, 2.0])}
    assert "'conv.output_shift'" in fails([CONV], state)


def scaled(threshold=0.0, scale=0.0, shift=0, name="conv"):
    """State of a layer with measured ranges."""
    new = {f"{name}.activation_threshold": np.float32(threshold), f"{name}.final_scale": np.asarray(scale, np.float32)}
    old = state_of(random_kernels((3, 2, 3, 3), 4), bits=4, shift=shift, name=name)
    return {f"{name}.output_shift": old.pop(f"{name}.output_shift"), **new, **old}


@pytest.mark.parametrize("scale", [0.0, 5.0, -2.0, [3.0]])
def test_final_scale(load, scale):
    """It is read as stored, with zero or one dimensions; the threshold is not."""
    (parameters,) = load([CONV], scaled(threshold=7.0, scale=scale, shift=-2)).values()
    assert (parameters.final_scale, parameters.shift) == (int(np.ravel(scale)[0]), -2)


def test_files_and_layers_without_final_scale(load):
    """Older files have none, nor have the identity layers that a helper inserts into newer ones."""
    (old,) = load([CONV], state_of(random_kernels((3, 2, 3, 3)))).values()
    assert old.final_scale is None
    mixed = {**scaled(scale=4.0), **state_of(random_kernels((3, 3, 3, 3), 2), bits=2, shift=1, name="fakepass")}
    first, second = load([CONV, {**CONV, "out_offset": 0x400}], mixed).values()
    assert (first.final_scale, second.final_scale, second.shift) == (4, None, 1)


def test_more_than_one_final_scale(fails):
    assert "'conv.final_scale' must hold one number" in fails([CONV], scaled(scale=[1.0, 2.0]))


def test_shared_weights_share_the_final_scale(console):
    """Layers with `weight_source` have that of the source."""
    layers = [CONV, {**CONV, "out_offset": 0x400, "weight_source": 0, "quantization": 4}]
    description = describe([{**layer, "pad": 1, "processors": 3} for layer in layers])
    state = scaled(scale=4.0)
    state["conv.op.weight"] = state["conv.op.weight"][:2]
    parameters = load_parameters(description, checkpoint(state), MAX78000, console)
    network = resolve(description, parameters, (2, 4, 4), MAX78000, console, ResolveOptions()).network
    assert [layer.final_scale for layer in network.layers] == [4, 4]


@pytest.mark.parametrize(("width", "shift"), [(8, 17), (32, 11)])
def test_the_shift_of_a_32_bit_output_is_always_legal(load, width, shift):
    """It has no effect."""
    (parameters,) = load([{**CONV, "output_width": width}], scaled(shift=17)).values()
    assert parameters.shift == shift
    (old,) = load(
        [{**CONV, "output_width": width}], state_of(random_kernels((3, 2, 3, 3), 4), bits=4, shift=17)
    ).values()
    assert old.shift == 17
