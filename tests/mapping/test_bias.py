"""Bias memory."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.bias_memory import BiasMemory, BiasRequest
from tests.support.networks import Weights, build, mapped, random_kernels

ALL = (1 << 64) - 1
BROADCAST = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]


def conv(processors, **keys):
    return {"op": "Conv2d", "pad": 1, "out_offset": 0, "processors": processors, **keys}


def depthwise(channels, bias, seed):
    return Weights(random_kernels((channels, 1, 3, 3), seed=seed), bias)


def placed(layers, weights, channels, device=MAX78002, **top):
    return mapped(build(layers, weights, (channels, 5, 5), device, **top), MappingOptions())


def test_broadcast_order():
    """Depthwise, 64 channels: processors in fours; the second layer follows at 16 in every quadrant."""
    layers = [conv(ALL, groups=64), conv(ALL, groups=64)]
    first, second = np.arange(64), np.arange(64)[::-1]
    mapping = placed(layers, [depthwise(64, first, 0), depthwise(64, second, 1)], 64)
    for q in range(4):
        assert mapping.bias_bytes[q][:16] == [16 * q + i for i in BROADCAST]
        assert mapping.bias_bytes[q][16:] == [63 - 16 * q - i for i in BROADCAST]
    assert mapping[0].bias.offsets == dict.fromkeys(range(4), 0)
    assert mapping[1].bias.offsets == dict.fromkeys(range(4), 16)
    assert mapping[1].bias.quadrant is None


def test_depthwise_in_two_passes_and_an_ordinary_layer():
    """127 channels broadcast, then 1×1 127 → 63, then 63 channels broadcast."""
    layers = [
        conv(ALL, groups=127),
        conv(ALL, kernel_size="1x1", pad=0),
        conv(ALL >> 1, groups=63, output_processors=ALL >> 1),
    ]
    generator = np.random.default_rng(0)
    values = [generator.integers(1, 100, n) for n in (127, 63, 63)]
    weights = [depthwise(127, values[0], 0), Weights((63, 127, 1, 1), values[1]), depthwise(63, values[2], 1)]
    mapping = placed(layers, weights, 127)
    assert [m.bias.offsets[0] for m in mapping.layers] == [0, 47, 32]
    assert mapping[1].bias.quadrant == 3
    assert [len(mapping.bias_bytes[q]) for q in range(4)] == [48, 48, 48, 110]
    assert mapping.bias_bytes[3][47:] == values[1].tolist()
    assert mapping.bias_bytes[0][:16] == [values[0][i] for i in BROADCAST]
    assert mapping.bias_bytes[0][16:32] == [values[0][64 + i] for i in BROADCAST]


def test_depthwise_without_broadcast():
    """40 channels that move down by four processors; the next layer's four values follow in the emptiest quadrant."""
    layers = [conv(0xFF_FFFF_FFFF0, groups=40), conv(0xFF_FFFF_FFFF, output_processors=0xF)]
    values = np.arange(1, 41)
    weights = [depthwise(40, values, 0), Weights((4, 40, 3, 3), [50, 51, 52, 53])]
    mapping = placed(layers, weights, 40)
    assert mapping.bias_bytes[0] == [*range(1, 13), 0, 0, 0, 0]
    assert mapping.bias_bytes[1] == list(range(13, 29))
    assert mapping.bias_bytes[2] == [*range(29, 41), 50, 51, 52, 53]
    assert mapping[0].bias.offsets == {0: 0, 1: 0, 2: 0}
    assert (mapping[1].bias.quadrant, mapping[1].bias.offsets[2]) == (2, 12)


def test_order_of_ordinary_layers():
    """Six layers with lead-in, wishes and a flattened one."""
    lengths = [8, 40, 16, 70, 4, 6]
    allowed = [(0, 1, 2), (0, 1, 2), (2, 1), (0, 1, 2), (1,), (0, 1, 2)]
    requests = [
        BiasRequest(
            index=i,
            where=f"layer {i}",
            values=np.arange(1, n + 1) + 3 * i,
            processors=1,
            output_map=((1 << n) - 1 & ALL) << (i < 2),
            output_passes=1,
            allowed=allowed[i],
            flatten=i == 5,
        )
        for i, n in enumerate(lengths)
    ]
    memory = BiasMemory(MAX78000)
    placed = memory.place_all(requests)
    places = {i: (p.quadrant, p.offsets[p.quadrant]) for i, p in placed.items()}
    assert places == {5: (0, 0), 4: (1, 0), 3: (2, 0), 1: (1, 4), 2: (1, 45), 0: (0, 6)}
    content = memory.bytes()
    assert [len(content[q]) for q in range(3)] == [15, 61, 70]
    assert content[0] == [*range(16, 22), 0, *range(1, 9)]


def test_flattened_layers_are_first_on_the_max78000_only():
    for device, expected in ((MAX78000, [6, 0]), (MAX78002, [0, 40])):
        requests = [
            BiasRequest(0, "a", np.arange(1, 41), 1, (1 << 40) - 1, 1, (0,) * 2),
            BiasRequest(1, "b", np.arange(1, 7), 1, 0x3F, 1, (0,) * 2, flatten=True),
        ]
        placed = BiasMemory(device).place_all(requests)
        assert [placed[i].offsets[0] for i in (0, 1)] == expected


def test_equal_biases_are_stored_once():
    layers = [conv(0xF), conv(0xFF00, output_processors=0xF)]
    weights = [Weights((8, 4, 3, 3), np.arange(8)), Weights((8, 8, 3, 3), np.arange(8))]
    layers[1]["output_processors"] = 0xFF
    mapping = placed(layers, weights, 4)
    assert mapping[0].bias == mapping[1].bias
    assert sum(map(len, mapping.bias_bytes.values())) == 8


def test_negative_values_are_bytes():
    mapping = placed([conv(1)], [Weights((3, 1, 3, 3), [-1, -128, 127])], 1)
    assert mapping.bias_bytes == {0: [255, 128, 127]}


def test_streaming_layer_of_the_max78000_starts_one_later():
    for device, expected in ((MAX78000, [0, 1, 2, 3]), (MAX78002, [1, 2, 3])):
        layers = [conv(1, streaming=True)]
        assert placed(layers, [Weights((3, 1, 3, 3), [1, 2, 3])], 1, device).bias_bytes == {0: expected}


def test_bias_groups_that_are_not_used_can_be_ignored():
    network = build([conv(1, bias_group=3)], [Weights((3, 1, 3, 3), [1, 2, 3])], (1, 5, 5))
    assert mapped(network, MappingOptions(ignore_bias_groups=True)).bias_bytes == {0: [1, 2, 3]}


@pytest.mark.parametrize(("device", "size"), [(MAX78000, 512), (MAX78002, 2048)])
def test_exhausted_memory(device, size):
    count = 512
    layers, weights = [], []
    for i in range(size // count + 1):
        layers.append(conv(ALL, bias_group=1, in_channels=512, kernel_size="1x1", pad=0))
        weights.append(Weights(random_kernels((count, 512, 1, 1)), np.full(count, i + 1)))
    with pytest.raises(Ai8xError) as caught:
        placed(layers, weights, 512, device)
    message = str(caught.value)
    assert "bias memory exhausted" in message
    assert f"0 of {size}" in message
    assert f"layer {len(layers) - 1}" in message
