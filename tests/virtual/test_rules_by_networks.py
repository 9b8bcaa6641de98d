"""Networks for every rule that golden programs do not exercise: the engine says what must come out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.virtual import VirtualDevice
from tests.support.networks import (
    LOWERING,
    MAPPING,
    QUIET,
    RESOLVE,
    Weights,
    build,
    program,
    random_kernels,
    random_sample,
)

BOTH = (MAX78000, MAX78002)
FIFO, FAST = replace(MAPPING, fifo=True), replace(MAPPING, fifo=True, fast_fifo=True)
QUAD = replace(FAST, quad=True)


def executed(layers, weights, shape, device, mapping=MAPPING, lowering=LOWERING, start=0):
    """Return (virtual device after the run, program)."""
    network = build(layers, weights, shape, device, replace(RESOLVE, start_layer=start), QUIET)
    lowered = program(network, mapping, lowering, random_sample(shape))
    return VirtualDevice(device).load(lowered).run(), lowered


def wrong(virtual, lowered):
    """Return how many known answers differ; there must be some answers, and not all of them 0."""
    assert any(block.values.any() for block in lowered.answers)
    different = 0
    for block in lowered.answers:
        words = virtual.words(block.address + 4 * np.arange(len(block.values)))
        different += int(np.count_nonzero((words ^ block.values) & block.mask))
    return different


def severe(virtual):
    return [str(d) for d in virtual.diagnostics if d.severity != "note"]


def check(*args, **options):
    virtual, lowered = executed(*args, **options)
    assert severe(virtual) == []
    assert wrong(virtual, lowered) == 0
    assert virtual.completed == 1
    return virtual


def conv(processors, outputs, offset=0x2000, **more):
    base = {"op": "Conv2d", "kernel_size": "3x3", "pad": 1, "activate": "ReLU"}
    return base | {"processors": processors, "output_processors": outputs, "out_offset": offset} | more


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("options", [FIFO, FAST])
def test_fifo_without_streaming(device, options):
    check([conv(0x7, 0xFF)], [(8, 3, 3, 3)], (3, 5, 6), device, options)


@pytest.mark.parametrize("device", BOTH)
def test_fifo_chw_without_streaming(device):
    check([conv(0x1, 0xFF, data_format="CHW")], [(8, 1, 3, 3)], (1, 6, 8), device, FIFO)


@pytest.mark.parametrize("bits", [8, 2])
def test_fast_fifo_quad(bits):
    kernels = Weights(random_kernels((16, 3, 3, 3), bits), bias=list(range(-8, 8)), bits=bits)
    layer = conv(0x7, 0xFFFF, quantization=bits)
    virtual = check([layer], [kernels], (3, 5, 6), MAX78002, QUAD)
    assert virtual.layers[0].layer.kernels.quad


@pytest.mark.parametrize("device", BOTH)
def test_operators(device):
    for operator in ("xor", "or", "add", "sub"):
        layer = {"op": operator, "processors": 0xF, "output_processors": 0xF, "out_offset": 0x2000, "operands": 2}
        check([layer], [], (8, 4, 5), device)


def test_read_gap():
    """Both operands' words are there, the layer reads every second one."""
    layers = [
        conv(0x7, 0xF, write_gap=1),
        conv(0xF, 0xF, 0x4000, in_offset=0x2000, read_gap=1, max_pool=2, pool_stride=2),
    ]
    virtual = check(layers, [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 8, 8), MAX78002)
    assert virtual.layers[1].layer.geometry.pitch == 2


def test_bypass():
    """All weights are ones, and none are stored."""
    layer = conv(0x7, 0xFF, bypass=True, out_channels=8, pad=0)
    virtual = check([layer], [], (3, 4, 5), MAX78002)
    assert virtual.layers[0].layer.kernels.bypass


NEXT = [
    conv(0x7, 0xF, 0x2000, next_sequence=2, name="a"),
    conv(0xF, 0xF, 0x6000, in_offset=0x4000, name="c", next_sequence="stop", in_sequences=2),
    conv(0xF, 0xF, 0x4000, in_offset=0x2000, name="b", next_sequence=1, in_sequences=0),
]


def test_unconditional_jumps():
    """The last layer in execution order has a lower number than one that ran before."""
    virtual = check(NEXT, [(4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3)], (3, 4, 5), MAX78002)
    assert list(virtual.layers) == [0, 2, 1]


def test_start_layer():
    layers = [
        conv(0xF, 0xF, 0x4000, in_offset=0x2000, name="b", next_sequence="stop", in_sequences=1),
        conv(0x7, 0xF, 0x2000, name="a", next_sequence=0, in_sequences=-1),
    ]
    virtual = check(layers, [(4, 4, 3, 3), (4, 3, 3, 3)], (3, 4, 5), MAX78002, start=1)
    assert list(virtual.layers) == [1, 0]


def test_linked_layers():
    layers = [conv(0x7, 0xF), conv(0xF, 0xF, 0x4000, in_offset=0x2000)]
    lowering = replace(LOWERING, link_layers=True)
    check(layers, [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 4, 5), MAX78002, lowering=lowering)


@pytest.mark.parametrize("device", BOTH)
def test_unpacked_kernels(device):
    """Four words for each column instead of a packed stream give the same kernel memory."""
    layers, weights = [conv(0x7, 0xFF, quantization=4)], [Weights((8, 3, 3, 3), bits=4)]
    packed = check(layers, weights, (3, 4, 5), device)
    unpacked = check(layers, weights, (3, 4, 5), device, lowering=replace(LOWERING, express=False))
    for column in range(6):
        at = device.kernel_base(2) + 16 * column
        assert [packed.read(at + 4 * i) for i in range(4)] == [unpacked.read(at + 4 * i) for i in range(4)]


def test_holes_in_a_depthwise_map():
    layer = conv(0b1011_0000_0111, 0b1011_0000_0111, groups=6, activate="None")
    check([layer], [Weights((6, 1, 3, 3), bias=[1, -2, 3, -4, 5, -6])], (6, 4, 5), MAX78002)


def test_depthwise_from_another_lane_finds_no_kernels():
    """The generator's kernels start behind those of the missing lanes, where this kind of layer does not look."""
    virtual, _ = executed([conv(0xE, 0xE, groups=3)], [(3, 1, 3, 3)], (3, 4, 5), MAX78002)
    assert any("none of the layer's kernels were ever stored" in text for text in severe(virtual))


@pytest.mark.parametrize("outputs", [0x1F, 0x1F00])
def test_depthwise_that_stays_or_moves(outputs):
    layer = conv(0x1F, outputs, groups=5, activate="None")
    check([layer], [Weights((5, 1, 3, 3), bias=[1, -2, 3, -4, 5])], (5, 4, 5), MAX78002)


def test_wide_depthwise():
    layer = conv(0x1F, 0x1F, groups=5, activate="None", output_width=32)
    check([layer], [(5, 1, 3, 3)], (5, 4, 5), MAX78002)


def test_depthwise_transposed():
    layer = {"op": "ConvTranspose2d", "groups": 3, "processors": 7, "output_processors": 7, "out_offset": 0x2000}
    check([layer], [(1, 3, 3, 3)], (3, 4, 5), MAX78002)


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_behind_pooling(device, stride):
    """The pool stride is recovered, with a warning."""
    layer = {"op": "ConvTranspose2d", "processors": 7, "output_processors": 0xF, "out_offset": 0x2000, "pad": 1}
    layer |= {"kernel_size": "3x3", "max_pool": 2, "pool_stride": stride}
    virtual, lowered = executed([layer], [(4, 3, 3, 3)], (3, 6, 8), device)
    assert wrong(virtual, lowered) == 0
    assert ["pool stride" in text for text in severe(virtual)] == [True]


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_more_than_256_flattened_words(device, bits):
    """The pass count runs into the weight bits."""
    layer = {"op": "Linear", "flatten": True, "processors": 7, "output_processors": 0x3FF, "out_offset": 0x2000}
    layer |= {"activate": "None", "quantization": bits, "output_width": 32}
    weights = [Weights((10, 3 * 18 * 16, 1, 1), bits=bits)]
    virtual, lowered = executed([layer], weights, (3, 18, 16), device)
    assert virtual.layers[0].layer.passes == 288
    assert wrong(virtual, lowered) == 0
    assert ["weight bits" in text for text in severe(virtual)] == [True]


def test_bias_of_a_streaming_start_layer():
    """MAX78000: the first entry is skipped."""
    layers = [
        conv(0x7, 0xF, 0x1000, streaming=True),
        conv(0xF, 0xFF, 0x4000, in_offset=0x1000, streaming=True),
        conv(0xFF, 0xF, 0x1000, in_offset=0x4000),
    ]
    weights = [Weights((4, 3, 3, 3), bias=[100, -100, 50, -50]), (8, 4, 3, 3), (4, 8, 3, 3)]
    for device in BOTH:
        check(layers, weights, (3, 16, 16), device, FIFO)


@pytest.mark.parametrize("device", BOTH)
def test_average_rounding(device):
    layers = [conv(0x7, 0xF, avg_pool=[2, 3], pool_stride=1)]
    sample, kernels = random_sample((3, 6, 6)), random_kernels((4, 3, 3, 3))
    lowering = replace(LOWERING, average_rounding=True)
    virtual, _ = executed(layers, [kernels], sample.shape, device, lowering=lowering)
    windows = np.lib.stride_tricks.sliding_window_view(sample, (2, 3), axis=(1, 2)).sum(axis=(3, 4))
    expected = np.sign(windows) * ((2 * abs(windows) + 6) // 12)
    rounded = virtual.layers[0]
    traced = VirtualDevice(device, trace=True)
    network = build(layers, [kernels], sample.shape, device, console=QUIET)
    traced.load(program(network, MAPPING, lowering, sample)).run()
    assert rounded.work is None
    np.testing.assert_array_equal(traced.layers[0].work.input[0], expected)
    assert (expected != np.sign(windows) * (abs(windows) // 6)).any()


@pytest.mark.parametrize("device", BOTH)
def test_averages_of_1d_layers_are_never_rounded(device):
    """Rounding is for two dimensions."""
    layer = {"op": "Conv1d", "kernel_size": 3, "avg_pool": 2, "pool_stride": 2, "processors": 7}
    layer |= {"output_processors": 0xF, "out_offset": 0x2000, "activate": "ReLU"}
    check([layer], [(4, 3, 3, 1)], (3, 20, 1), device, lowering=replace(LOWERING, average_rounding=True))


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("first", [True, False])
def test_operators_before_and_after_pooling(device, first):
    layer = {"op": "xor", "processors": 0xF, "output_processors": 0xF, "out_offset": 0x2000, "operands": 2}
    layer |= {"max_pool": 2, "pool_stride": 2, "pool_first": first}
    check([layer], [], (8, 6, 6), device)


def test_parallel_kernels_that_are_not_3x3_are_doubtful():
    """The generator does not spread such kernels as the four instances read them."""
    layer = conv(0x7, 0xF, kernel_size="1x1", pad=0, calcx4=True)
    virtual, _ = executed([layer], [(4, 3, 1, 1)], (3, 4, 5), MAX78002)
    assert ["four kernels at once" in text for text in severe(virtual)] == [True]


def test_gap_in_the_output_map_with_bias_is_doubtful():
    """The output counter passes over the gap, the stored biases do not."""
    layer = conv(0x7, 0x0F0F, activate="None")
    without, lowered = executed([layer], [(8, 3, 3, 3)], (3, 4, 5), MAX78000)
    assert severe(without) == []
    assert wrong(without, lowered) == 0
    biased, _ = executed([layer], [Weights((8, 3, 3, 3), bias=list(range(1, 9)))], (3, 4, 5), MAX78000)
    assert any("bias entries" in text for text in severe(biased))
