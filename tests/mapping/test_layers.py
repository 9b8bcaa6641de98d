"""Quadrants, time slots, local sources and the layer as the hardware sees it."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import build, mapped

ALL = (1 << 64) - 1
DEFAULT = MappingOptions()


def placed(layers, weights, shape, device=MAX78000, options=DEFAULT):
    return mapped(build(layers, weights, shape, device), options)


def passing(processors, **keys):
    return {"op": "none", "processors": processors, "out_offset": 0, "output_processors": processors, **keys}


def conv(processors, **keys):
    return {"op": "Conv2d", "pad": 1, "out_offset": 0, "processors": processors, **keys}


@pytest.mark.parametrize(
    ("processors", "outputs", "expected"),
    [
        (0x1, 0x1, (0,)),
        (0x1, 0xF0000, (0, 1)),
        (0xF000_0000_0000_000F, 0xF, (0, 3)),
        (0xF_0000_0000, 0xF, (0, 2)),
        (0xFFFF_FFFF_FFFF_FFFF, 0xF, (0, 1, 2, 3)),
    ],
)
def test_quadrants(processors, outputs, expected):
    """Input processors of all layers, output processors of the last one only."""
    inputs = processors.bit_count()
    network = build(
        [conv(processors, output_processors=outputs)], [(outputs.bit_count(), inputs, 3, 3)], (inputs, 4, 4)
    )
    assert mapped(network, MappingOptions()).quadrants == expected


def test_quadrant_0_must_be_used():
    with pytest.raises(Ai8xError, match=r"no layer uses a processor of quadrant 0"):
        placed([conv(0xF0000, output_processors=0xF0000)], [(4, 4, 3, 3)], (4, 4, 4))


@pytest.mark.parametrize(
    ("count", "slots"), [(1, 0), (4, 0), (5, 1), (8, 1), (9, 2), (12, 2), (13, 3), (16, 3), (20, 3), (64, 3)]
)
def test_time_slots_of_passthrough(count, slots):
    """One slot for each group of four processors in the fullest quadrant."""
    assert placed([passing((1 << count) - 1)], [], (count, 4, 4))[0].time_slots == slots


@pytest.mark.parametrize("offset", [0, 3, 14])
def test_time_slots_count_quadrants_apart(offset):
    processors = 0xFF << offset
    fullest = max((processors >> 16 * q & 0xFFFF).bit_count() for q in range(4))
    assert placed([passing(processors)], [], (8, 4, 4))[0].time_slots == (fullest - 1) // 4


@pytest.mark.parametrize(
    ("channels", "width", "slots"), [(2, 8, 1), (3, 8, 2), (16, 8, 3), (64, 8, 3), (2, 32, 7), (5, 32, 15)]
)
def test_time_slots_of_depthwise_broadcast(channels, width, slots):
    processors = (1 << channels) - 1
    layer = conv(processors, groups=channels, output_processors=processors, output_width=width)
    assert placed([layer], [(channels, 1, 3, 3)], (channels, 4, 4), MAX78002)[0].time_slots == slots


@pytest.mark.parametrize(("channels", "width", "slots"), [(4, 8, 3), (12, 8, 11), (3, 32, 11), (4, 32, 15)])
def test_time_slots_of_depthwise_that_moves(channels, width, slots):
    processors = (1 << channels) - 1
    layer = conv(processors, groups=channels, output_processors=processors << 16, output_width=width)
    mapping = placed([layer], [(channels, 1, 3, 3)], (channels, 4, 4), MAX78002)
    assert (mapping[0].time_slots, mapping[0].broadcast) == (slots, False)


def test_convolutions_have_one_time_slot():
    assert placed([conv(ALL)], [(4, 64, 3, 3)], (64, 4, 4))[0].time_slots == 0


@pytest.mark.parametrize(
    ("outputs", "local"),
    [
        (0xF, False),
        (0x5, False),
        (0x55, False),
        (0x49, False),
        (0xB, True),
        (0x13, True),
        (0x1_0001, False),
        (0xB_0003, True),
        (0x11_0003, False),
    ],
)
def test_local_sources(outputs, local):
    """Output processors unevenly spaced within a quadrant."""
    layer = conv(0xF000F, output_processors=outputs)
    assert placed([layer], [(outputs.bit_count(), 8, 3, 3)], (8, 4, 4))[0].local_sources == local


@pytest.mark.parametrize(("processors", "local"), [(0xF, False), (0x5, True), (0x1_0001, False)])
def test_local_sources_without_convolution(processors, local):
    """Any gap counts."""
    inputs = processors.bit_count()
    mapping = placed([passing(processors), conv(processors)], [(1, inputs, 3, 3)], (inputs, 4, 4))
    assert mapping[0].local_sources == local


@pytest.mark.parametrize(
    ("layer", "shape", "depth"),
    [
        ({"op": "none"}, None, 1),
        ({"op": "Conv2d", "pad": 1}, (1, 1, 3, 3), 14),
        ({"op": "Conv2d", "pad": 2, "max_pool": 2, "pool_stride": 2}, (1, 1, 3, 3), 9),
        ({"op": "Conv2d", "pad": 0, "kernel_size": "1x1"}, (1, 1, 1, 1), 14),
        ({"op": "ConvTranspose2d"}, (1, 1, 3, 3), 28),
        ({"op": "ConvTranspose2d", "pad": 2}, (1, 1, 3, 3), 26),
    ],
)
def test_tram_depth(layer, shape, depth):
    """Entries for 14 columns."""
    given = {"processors": 1, "out_offset": 0, "output_processors": 1, **layer}
    assert placed([given], [shape] if shape else [], (1, 6, 14))[0].tram == depth


def test_one_by_one_kernels_in_a_stream():
    """They become 3×3 kernels with the weight in the centre."""
    layers = [conv(7, streaming=True), conv(0xF, kernel_size="1x1", pad=0), conv(0xF, kernel_size="1x1", pad=0)]
    kernels = np.arange(16).reshape(4, 4, 1, 1)
    mapping = placed(layers, [(4, 3, 3, 3), kernels, kernels], (3, 8, 8), options=MappingOptions(fifo=True))
    view = mapping[1].view
    assert (view.kernel, view.pad) == ((3, 3), (1, 1))
    np.testing.assert_array_equal(view.kernels[:, :, 1, 1], kernels[:, :, 0, 0])
    assert view.kernels.sum() == kernels.sum()
    assert mapping[1].layer.kernel == (1, 1)
    assert mapping[2].view.kernel == (1, 1)


def test_flattening_layers_behind_a_stream_stay_pointwise():
    """Kernels are widened for neighboring pixels; a flattened layer has one."""
    layers = [conv(7, streaming=True), conv(0xF, kernel_size="1x1", pad=0, flatten=True)]
    mapping = placed(layers, [(4, 3, 3, 3), (10, 64, 1, 1)], (3, 4, 4), options=MappingOptions(fifo=True))
    view = mapping[1].view
    assert (view.kernel, view.pad, view.kernels.shape) == ((1, 1), (0, 0), (10, 64, 1, 1))


def conv1d(length, dilation, **keys):
    return {
        **{"op": "Conv1d", "kernel_size": length, "dilation": dilation, "pad": 0, "processors": 1},
        **{"out_offset": 0x1000, "output_processors": 1},
        **keys,
    }


@pytest.mark.parametrize(("length", "dilation", "stretched"), [(3, 4, 9), (2, 8, 9), (5, 2, 9), (2, 2, 3), (9, 1, 9)])
def test_stretched_kernels(length, dilation, stretched):
    """Zeros between the taps, up to nine."""
    kernel = np.arange(1, length + 1).reshape(1, 1, length, 1)
    view = placed([conv1d(length, dilation)], [kernel], (1, 60, 1))[0].view
    assert view.operator == "conv1d"
    assert view.kernel == (stretched, 1)
    np.testing.assert_array_equal(view.kernels[0, 0, ::dilation, 0], kernel.ravel())
    assert view.kernels.sum() == kernel.sum()


@pytest.mark.parametrize(
    ("length", "column", "skipped"), [(3, [1, 2, 3], 44), (2, [0, 1, 2], 0)], ids=["three taps", "two taps"]
)
def test_folded_kernels(length, column, skipped):
    """Wide dilation becomes a 3×3 convolution on folded data."""
    kernel = np.arange(1, length + 1).reshape(1, 1, length, 1)
    view = placed([conv1d(length, 11)], [kernel], (1, 199, 1))[0].view
    assert (view.operator, view.kernel, view.pad, view.in_size) == ("conv2d", (3, 3), (1, 1), (19, 11))
    assert view.kernels[0, 0, :, 1].tolist() == column
    assert view.kernels.sum() == kernel.sum()
    assert view.skipped_bytes == skipped
    assert view.extra_words == 19 * 11 - (199 - 11 * (length - 1))


@pytest.mark.parametrize(
    ("length", "keys"),
    [(4, {}), (3, {"max_pool": 2, "pool_stride": 2}), (3, {"pad": 1}), (2, {"dilation": 1024}), (1, {})],
)
def test_dilations_that_cannot_be_folded(length, keys):
    with pytest.raises(Ai8xError, match=r"layer 0.*dilation"):
        placed([conv1d(length, **{"dilation": 11, **keys})], [(1, 1, length, 1)], (1, 1030, 1))


def test_dilated_2d_kernels():
    with pytest.raises(Ai8xError, match=r"Only Conv1d kernels"):
        placed([conv(1, dilation=2)], [(1, 1, 3, 3)], (1, 9, 9))


@pytest.mark.parametrize(
    ("operands", "channels", "device", "emulated"),
    [
        (2, 64, MAX78000, False),
        (2, 128, MAX78000, False),
        (2, 192, MAX78000, True),
        (3, 128, MAX78000, True),
        (3, 64, MAX78000, False),
        (3, 192, MAX78002, False),
    ],
)
def test_emulated_eltwise(operands, channels, device, emulated):
    """Several operands in several passes, but not two in two."""
    layer = {"op": "add", "operands": operands, "processors": ALL, "out_offset": 0}
    mapping = placed([layer], [], (operands * channels, 2, 2), device)
    assert mapping[0].view.emulated == emulated


def test_accumulator_reset():
    """Average pooling right behind an element-wise layer takes one more hardware layer on the MAX78002."""
    average = passing(0xF, avg_pool=2, pool_stride=2)
    layers = [{"op": "add", "processors": 0xF, "out_offset": 0}, average, passing(0xF)]
    mapping = placed(layers, [], (8, 8, 8), MAX78002)
    assert [m.resets_accumulator for m in mapping.layers] == [False, True, False]
    assert [m.hardware_index for m in mapping.layers] == [0, 2, 3]
    assert mapping.hidden_layers == 1
    assert placed(layers, [], (8, 8, 8), MAX78000).hidden_layers == 0


def test_uneven_passes_cannot_be_flattened():
    layer = {"op": "Linear", "flatten": True, "processors": (1 << 36) - 1, "out_offset": 0}
    with pytest.raises(Ai8xError, match=r"flatten: 70 channels cannot be divided evenly among 2 passes"):
        placed([layer], [(4, 280, 1, 1)], (70, 2, 2))
