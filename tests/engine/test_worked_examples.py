"""Worked examples of the arithmetic, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from tests.support.networks import Weights, build, random_sample


def conv(**keys):
    return {"op": "Conv2d", "kernel_size": "1x1", "pad": 0, "processors": 1, "out_offset": 0, **keys}


def passing(**keys):
    return {"op": "none", "processors": 1, "out_offset": 0, **keys}


def outputs(layers, weights, sample, device=MAX78000, **options):
    sample = np.asarray(sample)
    network = build(layers, weights, sample.shape, device)
    return run(network, sample[None], **options).last[0]


@pytest.mark.parametrize(
    ("pad", "expected"),
    [
        (
            0,
            [
                [9, 8, 25, 16, 14, 0],
                [6, 5, 16, 10, 8, 0],
                [30, 26, 64, 36, 30, 0],
                [18, 15, 36, 20, 16, 0],
                [9, 6, 15, 8, 4, 0],
                [0, 0, 0, 0, 0, 0],
            ],
        ),
        (1, [[5, 16, 10, 8], [26, 64, 36, 30], [15, 36, 20, 16], [6, 15, 8, 4]]),
        (2, [[64, 36], [36, 20]]),
    ],
)
def test_transposed_convolution(pad, expected):
    kernel = np.arange(1, 10).reshape(1, 1, 3, 3)
    layer = {"op": "ConvTranspose2d", "pad": pad, "processors": 1, "out_offset": 0, "output_width": 32}
    np.testing.assert_array_equal(outputs([layer], [kernel], [[[1, 2], [3, 4]]])[0], expected)


AVERAGES = [
    *((-7, -1, -2), (-6, -1, -2), (-3, 0, -1), (-2, 0, -1), (-1, 0, 0)),
    *((1, 0, 0), (2, 0, 1), (3, 0, 1), (6, 1, 2)),
]


@pytest.mark.parametrize(("total", "default", "rounded"), AVERAGES)
def test_average_of_two_by_two(total, default, rounded):
    """The table of worked values."""
    window = [[[total, 0], [0, 0]]]
    layer = passing(avg_pool=2, pool_stride=2)
    assert outputs([layer], [], window).item() == default
    assert outputs([layer], [], window, average_rounding=True).item() == rounded


def test_averages_of_1d_convolutions_never_round():
    layer = conv(op="Conv1d", kernel_size=1, avg_pool=2, pool_stride=2, output_width=32)
    sample = [[[3], [0], [-3], [0]]]
    for rounding in (False, True):
        result = outputs([layer], [np.ones((1, 1, 1, 1))], sample, average_rounding=rounding)
        assert result.ravel().tolist() == [1, -1]


def test_extreme_averages_stay_in_range():
    layer = passing(avg_pool=16, pool_stride=16)
    for value in (-128, 127):
        assert outputs([layer], [], np.full((1, 16, 16), value)).item() == value


SHIFTS = [
    *((4915, 1, 77), (64, 0, 1), (-64, 0, 0), (-192, 0, -1), (191, 0, 1), (100, -3, 0)),
    *((20000, 0, 127), (-20000, 0, -128), (1024, -4, 1), (512, -4, 0), (3, 5, 1), (-2, 5, 0)),
]


def accumulator(total):
    """Return (kernels, bias, sample) whose accumulator is `total`."""
    bias, rest = divmod(total, 128)
    bias, rest = (bias, rest) if -128 <= bias <= 127 else (127 if bias > 0 else -128, None)
    if rest is None:
        rest = total - 128 * bias
        kernels = np.array([127, 127]).reshape(1, 2, 1, 1)
        first = max(-128, min(127, rest // 127))
        kernels[0, 1] = rest - 127 * first
        return kernels, [bias], [[[first]], [[1]]]
    return np.array([rest, 0]).reshape(1, 2, 1, 1), [bias], [[[1]], [[0]]]


@pytest.mark.parametrize(("total", "shift", "expected"), SHIFTS)
def test_shift_round_saturate(total, shift, expected):
    """The table of worked values."""
    kernels, bias, sample = accumulator(total)
    wide = outputs([conv(processors=3, output_width=32)], [Weights(kernels, bias)], sample)
    assert wide.dtype == np.int32
    assert wide.item() == total
    narrow = outputs([conv(processors=3)], [Weights(kernels, bias, shift=shift)], sample)
    assert narrow.dtype == np.int8
    assert narrow.item() == expected


def test_complete_example():
    """A test network's 1×1 Conv1d."""
    layer = conv(op="Conv1d", kernel_size=1, processors=3)
    kernels = np.array([-79, 87]).reshape(1, 2, 1, 1)
    assert outputs([layer], [kernels], [[[0]], [[99]]]).item() == 67


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_wide_output_is_not_shifted(bits):
    """Neither output_shift nor the implicit shift."""
    kernels = np.full((1, 1, 1, 1), -1)
    layer = conv(output_width=32)
    assert outputs([layer], [Weights(kernels, [3], bits, shift=2)], [[[100]]]).item() == 3 * 128 - 100


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("None", [-128, -64, -1, 0, 1, 127]), ("ReLU", [0, 0, 0, 0, 1, 127]), ("Abs", [127, 64, 1, 0, 1, 127])],
)
def test_activations(activation, expected):
    sample = np.array([-128, -64, -1, 0, 1, 127]).reshape(1, 6, 1)
    layer = conv(op="Conv1d", kernel_size=1, activate=activation)
    result = outputs([layer], [Weights([[[[1]]]], shift=7)], sample)
    assert result.ravel().tolist() == expected


def test_abs_comes_after_rounding():
    """An accumulator of −64 gives 0, not 1."""
    assert outputs([conv(activate="Abs")], [[[[[-64]]]]], [[[1]]]).item() == 0


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        ("add", [100, 100, -100], 100),
        ("add", [100, 100], 127),
        ("add", [-100, -100], -128),
        ("sub", [100, 27, -100], 127),
        ("sub", [-100, 100, 127], -128),
        ("sub", [10, 3, 2], 5),
        ("or", [0b0101, 0b0011], 0b0111),
        ("or", [-128, 1], -127),
        ("xor", [-1, 1], -2),
        ("xor", [127, -128, 5], -6),
    ],
)
def test_eltwise_saturates_once(function, operands, expected):
    """No intermediate saturation."""
    layer = {"op": function, "processors": 1, "out_offset": 0, "operands": len(operands)}
    assert outputs([layer], [], np.array(operands).reshape(-1, 1, 1)).item() == expected


def test_eltwise_is_saturated_before_a_convolution():
    layer = conv(eltwise="add", output_width=32)
    assert outputs([layer], [[[[[2]]]]], [[[100]], [[100]]]).item() == 254


@pytest.mark.parametrize(("pool_first", "expected"), [(True, 110), (False, 60)])
def test_order_of_pooling_and_eltwise(pool_first, expected):
    """Maxima of the operands, or maximum of the sums."""
    layer = {"op": "add", "processors": 1, "out_offset": 0, "max_pool": [2, 1], "pool_stride": 2}
    sample = np.array([[60, 0], [0, 50]]).reshape(2, 2, 1)
    assert outputs([{**layer, "pool_first": pool_first}], [], sample).item() == expected


def test_size_one_pooling_subsamples():
    sample = np.arange(30).reshape(1, 5, 6)
    np.testing.assert_array_equal(outputs([passing(pool_stride=2)], [], sample)[0], sample[0, ::2, ::2])


def test_dilated_1d_pooling():
    """A dilated maximum is required."""
    layer = conv(op="Conv1d", kernel_size=1, max_pool=2, pool_stride=1, pool_dilation=2, output_width=32)
    result = outputs([layer], [[[[[1]]]]], np.array([1, 9, 2, 3, 4, 5]).reshape(1, 6, 1), MAX78002)
    assert result.ravel().tolist() == [2, 9, 4, 5]


def test_dilated_pooling_with_an_incomplete_window():
    """The formula gives six windows, only five fit."""
    layer = passing(max_pool=[3, 1], pool_stride=1, pool_dilation=2)
    with pytest.raises(Ai8xError, match=r"layer 0: a pooling window exceeds the rows of the data by 1"):
        outputs([layer], [], np.zeros((1, 9, 3), int), MAX78002)


def test_dilated_pooling_that_the_formula_allows():
    layer = passing(max_pool=2, pool_stride=3, pool_dilation=2)
    sample = np.arange(81).reshape(1, 9, 9)
    np.testing.assert_array_equal(outputs([layer], [], sample, MAX78002)[0], sample[0, 2::3, 2::3])


def test_flatten_order():
    """Channel slowest, column fastest."""
    layer = {"op": "Linear", "flatten": True, "processors": 3, "out_offset": 0, "output_width": 32}
    kernels = np.eye(12, dtype=int).reshape(12, 12, 1, 1)
    sample = np.arange(12).reshape(2, 2, 3)
    assert outputs([layer], [kernels], sample).ravel().tolist() == list(range(12))


def test_bypass_sums_channels():
    layer = conv(bypass=True, processors=7, out_channels=2)
    assert outputs([layer], [], [[[10]], [[20]], [[-5]]], MAX78002).ravel().tolist() == [25, 25]
    wide = conv(bypass=True, kernel_size="3x3", pad=1, groups=2, processors=3, output_width=32)
    sample = np.arange(8).reshape(2, 2, 2)
    assert outputs([wide], [], sample, MAX78002)[:, 0, 0].tolist() == [6, 22]


def test_dilated_1d_convolution():
    layer = conv(op="Conv1d", kernel_size=3, dilation=11, output_width=32)
    sample = np.arange(30).reshape(1, 30, 1)
    result = outputs([layer], [np.array([1, 2, 3]).reshape(1, 1, 3, 1)], sample)
    assert result.ravel().tolist() == [x + 2 * (x + 11) + 3 * (x + 22) for x in range(8)]


def test_crop():
    """Rows are removed at both ends; a zero end removes nothing."""
    sample = np.arange(12).reshape(1, 6, 2)
    layers = [passing(), passing(in_sequences=[0], in_dim=[3, 2], in_crop=[1, 2])]
    np.testing.assert_array_equal(outputs(layers, [], sample)[0], sample[0, 1:4])
    layers = [passing(), passing(in_sequences=[0], in_dim=[4, 2], in_crop=[2, 0])]
    np.testing.assert_array_equal(outputs(layers, [], sample)[0], sample[0, 2:])


def test_joining_channels():
    layers = [passing(), passing(max_pool=1), passing(in_sequences=[1, 0], processors=3)]
    sample = random_sample((1, 3, 4))
    np.testing.assert_array_equal(outputs(layers, [], sample), np.concatenate([sample, sample]))


def test_joining_pixels():
    """All pixels of the first source, then all of the second."""
    layers = [
        passing(processors=3),
        passing(processors=3, max_pool=2, pool_stride=2),
        passing(processors=3, in_sequences=[0, 1], in_dim=[20, 1], in_channels=2),
    ]
    sample = random_sample((2, 4, 4))
    result = outputs(layers, [], sample)
    small = sample.reshape(2, 2, 2, 2, 2).max(axis=(2, 4))
    np.testing.assert_array_equal(result[..., 0], np.concatenate([sample.reshape(2, 16), small.reshape(2, 4)], 1))


def test_joined_channels_can_become_rows():
    """Two sources (C, H, W) and in_dim (2·H, W) keep C channels."""
    layers = [passing(processors=3), passing(processors=3, in_sequences=[0, 0], in_dim=[6, 4], in_channels=2)]
    sample = random_sample((2, 3, 4))
    expected = np.concatenate([sample, sample]).reshape(2, 6, 4)
    np.testing.assert_array_equal(outputs(layers, [], sample), expected)


def test_2d_data_become_1d():
    """Position h·W + w."""
    layer = conv(op="Conv1d", kernel_size=1, in_dim=12, output_width=32)
    sample = random_sample((1, 3, 4))
    np.testing.assert_array_equal(outputs([layer], [[[[[1]]]]], sample).ravel(), sample.ravel())


def test_accumulator_range():
    """Sums outside the signed 32-bit range are an error."""
    pixels, channels = 256, 1024
    layer = {"op": "Linear", "flatten": True, "processors": (1 << 64) - 1, "out_offset": 0}
    sample = np.full((channels, 16, 16), -128)
    kernels = np.full((1, channels * pixels, 1, 1), -128)
    with pytest.raises(Ai8xError, match=r"layer 0: sums .*4294967296.* 32-bit range"):
        outputs([layer], [kernels], sample)
    kernels[:, ::2] = 127
    half = channels * pixels // 2
    wide = outputs([{**layer, "output_width": 32}], [kernels], sample)
    assert wide.item() == half * 128 * 128 - half * 127 * 128


def test_sums_beyond_float32_are_exact():
    """The largest ordinary layer: 1024 channels, 3×3."""
    layer = conv(kernel_size="3x3", pad=1, processors=(1 << 64) - 1, output_width=32)
    kernels = np.full((1, 1024, 3, 3), -128)
    kernels[0, 0, 1, 1] = -127
    result = outputs([layer], [Weights(kernels, [127])], np.full((1024, 3, 3), -128))
    assert result[0, 1, 1] == 1024 * 9 * 16384 - 128 + 127 * 128


def test_rolling_buffer():
    """Shift, insert, read."""
    buffer = [{"name": "past", "processors": 3, "channels": 2, "dim": 4, "offset": 0x100}]
    layers = [
        passing(processors=3),
        {
            **passing(processors=3, in_sequences="past", in_dim=3, in_channels=2, in_offset=0x104, out_offset=0x100),
            "buffer_shift": 1,
        },
        passing(processors=3, in_sequences=[0], out_offset=0x10C, buffer_insert=1),
        {
            **conv(op="Conv1d", kernel_size=4, processors=3, out_offset=0x200, output_width=32),
            **{"in_sequences": "past", "in_dim": 4, "in_channels": 2, "in_offset": 0x100},
        },
    ]
    kernels = np.arange(1, 9).reshape(1, 2, 4, 1)
    sample = np.array([10, 100]).reshape(2, 1, 1)
    network = build(layers, [kernels], sample.shape, data_buffer=buffer)
    result = run(network, sample[None])
    assert result.outputs[1][0, :, :, 0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert result.last.item() == 4 * 10 + 8 * 100


def test_simulated_sequence():
    """The simulation may leave the hardware's order."""
    layers = [passing(simulated_sequence=2), passing(), passing(simulated_sequence="stop"), passing()]
    network = build(layers, [], (1, 4, 4))
    assert network.placement.simulated == ("0", "2")
    sample = random_sample((1, 4, 4))
    result = run(network, sample[None], network.placement.simulated)
    assert set(result.outputs) == {0, 2}
    np.testing.assert_array_equal(result.last[0], sample)


def test_shared_weights():
    layers = [conv(), conv(weight_source=0, output_width=32)]
    result = outputs(layers, [Weights([[[[64]]]], [1], shift=1)], [[[50]]])
    assert result.item() == 64 * (50 + 2) + 128


def test_sample_that_does_not_fit():
    network = build([conv(processors=7)], [(2, 3, 1, 1)], (3, 4, 4))
    with pytest.raises(Ai8xError, match=r"layer 0: expected data of 3×4×4, got 5×4×4"):
        run(network, np.zeros((1, 5, 4, 4), int))
