"""The vectorised engine against loops over Python integers, for every operator."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from ai8x_tool.device import MAX78002
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from tests.support import reference_engine as reference
from tests.support.networks import Weights, build, random_kernels

ACTIVATIONS = st.sampled_from(["None", "ReLU", "Abs"])
BITS = st.sampled_from([8, 4, 2, 1, -1])
SEEDS = st.integers(0, 2**16)


def values(shape, seed, extreme):
    generator = np.random.default_rng(seed)
    return generator.choice([-128, 127], shape) if extreme else generator.integers(-128, 128, shape)


@st.composite
def poolings(draw):
    """Return the keys of a pooling, with average or maximum."""
    if draw(st.booleans()):
        return {"pool_stride": draw(st.integers(1, 3))}
    key = draw(st.sampled_from(["max_pool", "avg_pool"]))
    size = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    keys = {key: size, "pool_stride": draw(st.integers(1, 3))}
    return keys if size == [1, 1] else keys | {"pool_dilation": draw(st.integers(1, 2))}


def compare(keys, weights, sample, rounding=False):
    channels = len(sample) // keys.get("operands", 1)
    layer = {"processors": (1 << channels) - 1, "out_offset": 0, **keys}
    try:
        network = build([layer], weights, sample.shape, MAX78002)
    except Ai8xError as error:
        assume("would be empty" not in str(error))
        raise
    expected = reference.layer_output(network.start, sample.tolist(), rounding)
    batch = np.stack([sample, sample[::-1], 0 * sample])
    if expected is None:
        try:
            run(network, batch, average_rounding=rounding)
        except Ai8xError as error:
            assert "pooling window exceeds" in str(error)
            return
        raise AssertionError("a window beyond the data was accepted")
    together = run(network, batch, average_rounding=rounding).last
    np.testing.assert_array_equal(together[0], expected)
    for i, one in enumerate(batch):
        np.testing.assert_array_equal(together[i], run(network, one[None], average_rounding=rounding).last[0])


def layer_weights(shape, bits, seed, bias, shift):
    kernels = random_kernels(shape, bits, seed)
    values = np.random.default_rng(seed).integers(-128, 128, shape[0]) if bias else None
    return [Weights(kernels, values, bits, shift)]


def width_and_activation(wide, activation):
    return {"output_width": 32} if wide else {"activate": activation}


COMMON = {
    "size": st.tuples(st.integers(1, 7), st.integers(1, 7)),
    "channels": st.integers(1, 5),
    "outputs": st.integers(1, 4),
    "pooling": poolings(),
    "bits": BITS,
    "bias": st.booleans(),
    "shift": st.integers(-15, 8),
    "wide": st.booleans(),
    "activation": ACTIVATIONS,
    "seed": SEEDS,
    "extreme": st.booleans(),
    "rounding": st.booleans(),
}


@given(**COMMON, kernel=st.sampled_from([1, 3]), pad=st.integers(0, 2), depthwise=st.booleans())
def test_conv2d(
    size,
    channels,
    outputs,
    pooling,
    bits,
    bias,
    shift,
    wide,
    activation,
    seed,
    extreme,
    rounding,
    kernel,
    pad,
    depthwise,
):
    keys = {"op": "Conv2d", "kernel_size": f"{kernel}x{kernel}", "pad": min(pad, kernel - 1), **pooling}
    keys |= width_and_activation(wide, activation)
    if depthwise and channels > 1:
        keys["groups"], outputs = channels, channels
    shape = (outputs, 1 if "groups" in keys else channels, kernel, kernel)
    weights = layer_weights(shape, bits, seed, bias, shift)
    compare(keys, weights, values((channels, *size), seed, extreme), rounding)


@given(**COMMON, length=st.integers(1, 9), pad=st.integers(0, 2), dilation=st.integers(1, 3))
def test_conv1d(
    size,
    channels,
    outputs,
    pooling,
    bits,
    bias,
    shift,
    wide,
    activation,
    seed,
    extreme,
    rounding,
    length,
    pad,
    dilation,
):
    if (pooling.get("max_pool") or pooling.get("avg_pool") or [1])[0] == 1:
        pooling = {key: value for key, value in pooling.items() if key != "pool_dilation"}
    keys = {"op": "Conv1d", "kernel_size": length, "pad": min(pad, length - 1), "dilation": dilation, **pooling}
    keys |= width_and_activation(wide, activation)
    weights = layer_weights((outputs, channels, length, 1), bits, seed, bias, shift)
    compare(keys, weights, values((channels, size[0] * size[1], 1), seed, extreme), rounding)


@given(**COMMON, pad=st.integers(0, 2))
def test_conv_transpose(
    size, channels, outputs, pooling, bits, bias, shift, wide, activation, seed, extreme, rounding, pad
):
    keys = {"op": "ConvTranspose2d", "pad": pad, **pooling, **width_and_activation(wide, activation)}
    weights = layer_weights((outputs, channels, 3, 3), bits, seed, bias, shift)
    compare(keys, weights, values((channels, *size), seed, extreme), rounding)


@given(**COMMON)
def test_linear(size, channels, outputs, pooling, bits, bias, shift, wide, activation, seed, extreme, rounding):
    keys = {"op": "Linear", "flatten": True, **width_and_activation(wide, activation)}
    weights = layer_weights((outputs, channels * size[0] * size[1], 1, 1), bits, seed, bias, shift)
    compare(keys, weights, values((channels, *size), seed, extreme), rounding)


FUNCTIONS = st.sampled_from(["add", "sub", "or", "xor"])


@given(
    function=FUNCTIONS,
    operands=st.integers(2, 5),
    channels=st.integers(1, 3),
    size=st.tuples(st.integers(1, 7), st.integers(2, 7)),
    pooling=poolings(),
    pool_first=st.booleans(),
    seed=SEEDS,
    extreme=st.booleans(),
    rounding=st.booleans(),
    convolve=st.booleans(),
)
def test_eltwise(function, operands, channels, size, pooling, pool_first, seed, extreme, rounding, convolve):
    keys = {"op": function, "operands": operands, **pooling}
    pools = any(value != 1 for key in ("max_pool", "avg_pool") for value in pooling.get(key, [1]))
    if pools:
        keys["pool_first"] = pool_first
    weights = []
    if convolve:
        keys |= {"op": "Conv2d", "eltwise": function, "pad": 1}
        weights = layer_weights((2, channels, 3, 3), 8, seed, True, -1)
    compare(keys, weights, values((operands * channels, *size), seed, extreme), rounding)


@given(
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 9), st.integers(2, 9)),
    pooling=poolings(),
    seed=SEEDS,
    extreme=st.booleans(),
    rounding=st.booleans(),
)
def test_passthrough(channels, size, pooling, seed, extreme, rounding):
    compare({"op": "none", **pooling}, [], values((channels, *size), seed, extreme), rounding)
