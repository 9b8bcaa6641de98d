"""Channels, sizes, offsets, maps and order."""

from __future__ import annotations

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from ai8x_tool.network.layer import Layer
from tests.support.networks import Weights, build


def conv(inputs, **keys):
    return {"op": "Conv2d", "processors": (1 << min(inputs, 64)) - 1, "out_offset": 0, **keys}


def placed(layer, size, **keys):
    """Return the placement of a network of one layer."""
    return single_network(layer, size, **keys).place(0)


def single(layer, size, **keys):
    """Return the layer of a network of one layer."""
    return single_network(layer, size, **keys).start


def single_network(layer, size, channels=1, outputs=2, device=MAX78000):
    kernel = {"Conv1d": (layer.get("kernel_size", 9), 1), "Linear": (1, 1)}.get(layer["op"], (3, 3))
    if layer.get("kernel_size") == "1x1":
        kernel = (1, 1)
    weights = [] if layer["op"] in ("none", "add") else [(outputs, channels, *kernel)]
    return build([{"processors": 1, "out_offset": 0, **layer}], weights, (channels, *size), device)


@pytest.mark.parametrize(
    ("layer", "size", "pooled", "out"),
    [
        # layer 1 of MNIST
        ({"op": "Conv2d", "max_pool": 2, "pool_stride": 2, "pad": 2}, (28, 28), (14, 14), (16, 16)),
        ({"op": "Conv2d"}, (28, 28), (28, 28), (28, 28)),
        ({"op": "Conv2d", "pad": 0}, (5, 7), (5, 7), (3, 5)),
        ({"op": "Conv2d", "kernel_size": "1x1", "pad": 0}, (5, 7), (5, 7), (5, 7)),
        ({"op": "Conv2d", "avg_pool": [2, 3], "pool_stride": 2}, (9, 9), (4, 4), (4, 4)),
        ({"op": "none", "max_pool": 3, "pool_stride": 3}, (8, 11), (2, 3), (2, 3)),
        ({"op": "none", "max_pool": [1, 13], "pool_stride": 13}, (26, 26), (2, 2), (2, 2)),
        ({"op": "none", "pool_stride": 3}, (10, 7), (4, 3), (4, 3)),
        ({"op": "none", "max_pool": 4, "pool_stride": 4}, (17, 1), (4, 1), (4, 1)),
        ({"op": "Conv1d", "kernel_size": 3, "pad": 0}, (128, 1), (128, 1), (126, 1)),
        ({"op": "Conv1d", "kernel_size": 3, "max_pool": 2, "pool_stride": 2}, (126, 1), (63, 1), (63, 1)),
        ({"op": "Conv1d", "kernel_size": 3, "pad": 0, "dilation": 11}, (199, 1), (199, 1), (177, 1)),
        ({"op": "ConvTranspose2d"}, (5, 7), (5, 7), (10, 14)),
        ({"op": "ConvTranspose2d", "pad": 0}, (5, 7), (5, 7), (12, 16)),
        ({"op": "ConvTranspose2d", "pad": 2}, (5, 7), (5, 7), (8, 12)),
        ({"op": "ConvTranspose2d", "max_pool": 2, "pool_stride": 2}, (6, 8), (3, 4), (6, 8)),
    ],
)
def test_sizes(layer, size, pooled, out):
    resolved = single(layer, size)
    assert (resolved.in_size, resolved.pooled_size, resolved.out_size) == (size, pooled, out)


def test_pool_dilation_counts_as_the_formula_says():
    """A window of size s and dilation d counts as s + d − 1."""
    layer = {"op": "none", "max_pool": 2, "pool_stride": 3, "pool_dilation": 2}
    assert single(layer, (9, 9), device=MAX78002).pooled_size == (3, 3)


@pytest.mark.parametrize(
    ("layer", "size"),
    [({"op": "none", "max_pool": 4, "pool_stride": 4}, (3, 8)), ({"op": "Conv2d", "pad": 0}, (2, 8))],
)
def test_empty_output(layer, size):
    with pytest.raises(Ai8xError, match=r"net\.yaml:\d+: layer 0: .*the output would be empty"):
        single(layer, size)


def test_in_dim_reshapes():
    assert single({"op": "Conv1d", "kernel_size": 3, "in_dim": 30}, (5, 6)).in_size == (30, 1)
    assert single({"op": "Conv2d", "in_dim": [5, 6]}, (30, 1)).in_size == (5, 6)


def test_flattening():
    """192 weights per output and 4×4 pixels are 12 channels."""
    layer = {"op": "Linear", "processors": 0xFFF, "out_offset": 0, "flatten": True}
    resolved = build([layer], [(10, 192, 1, 1)], (12, 4, 4)).start
    assert (resolved.channels_in, resolved.flat_pixels, resolved.out_size) == (12, 16, (1, 1))
    with pytest.raises(Ai8xError, match=r"layer 0: .*flatten.* 192 .* 15 pixels \(3×5\)"):
        build([layer], [(10, 192, 1, 1)], (12, 3, 5))


def test_channels_of_layers_without_weights():
    layers = [conv(3), {"op": "none", "processors": 0xFF, "out_offset": 0}]
    network = build(layers, [(8, 3, 3, 3)], (3, 6, 6))
    assert (network[1].channels_in, network[1].channels_out) == (8, 8)


def test_operands_share_the_sample():
    resolved = single({"op": "add", "operands": 3}, (4, 4), channels=12)
    assert (resolved.channels_in, resolved.channels_out) == (4, 4)


def test_sources():
    """Joined channels are added up; element-wise operands are not."""
    passing = {"op": "none", "processors": 0xFF, "out_offset": 0}
    layers = [conv(3), passing, {**passing, "in_sequences": [0, 1]}]
    assert build(layers, [(8, 3, 3, 3)], (3, 6, 6))[2].channels_in == 16
    layers[2]["op"] = "add"
    assert build(layers, [(8, 3, 3, 3)], (3, 6, 6))[2].channels_in == 8


def test_sources_of_different_size():
    layers = [
        conv(3),
        {"op": "none", "processors": 0xFF, "out_offset": 0, "max_pool": 2, "pool_stride": 2},
        {"op": "none", "processors": 0xFF, "out_offset": 0, "in_sequences": [0, 1]},
    ]
    with pytest.raises(Ai8xError, match=r"layer 2: .*different sizes"):
        build(layers, [(8, 3, 3, 3)], (3, 6, 6))
    layers[2]["in_dim"] = [45, 1]
    assert build(layers, [(8, 3, 3, 3)], (3, 6, 6))[2].in_size == (45, 1)
    layers[2]["in_dim"] = [44, 1]
    with pytest.raises(Ai8xError, match=r"layer 2: .*in_dim needs 44 pixels per channel, the sources have 45"):
        build(layers, [(8, 3, 3, 3)], (3, 6, 6))


def test_sources_with_different_channels():
    layers = [conv(3), conv(8), {"op": "add", "processors": 0xF, "out_offset": 0, "in_sequences": [0, 1]}]
    with pytest.raises(Ai8xError, match=r"layer 2: .*different channel counts"):
        build(layers, [(8, 3, 3, 3), (4, 8, 3, 3)], (3, 6, 6))


@pytest.mark.parametrize("source", [1, 2, 7])
def test_sources_must_be_executed_before(source):
    layers = [conv(3), {"op": "none", "processors": 0xFF, "out_offset": 0, "in_sequences": source}, conv(8)]
    with pytest.raises(Ai8xError, match=rf"layer 1: .*in_sequences = {source}"):
        build(layers, [(8, 3, 3, 3), (8, 8, 3, 3)], (3, 6, 6))


def test_weights_must_match_the_sources():
    layers = [conv(3), {**conv(4), "in_sequences": [0]}]
    with pytest.raises(Ai8xError, match=r"layer 1: .*the weights expect 4 input channels, .* provides 8 of"):
        build(layers, [(8, 3, 3, 3), (4, 4, 3, 3)], (3, 6, 6))


def test_overriding_channels():
    """Data may be read as another number of channels and pixels, not as fewer values."""
    layers = [conv(3), {"op": "none", "processors": 0xFFFF, "out_offset": 0, "in_channels": 16, "in_dim": [6, 3]}]
    assert build(layers, [(8, 3, 3, 3)], (3, 6, 6))[1].channels_in == 16
    layers[1]["in_channels"] = 4
    with pytest.raises(Ai8xError, match=r"layer 1: .*4 channels of 6×3 pixels are expected, layer 0 provides 8×6×6"):
        build(layers, [(8, 3, 3, 3)], (3, 6, 6))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(10, 0x3FF), (64, (1 << 64) - 1), (65, (1 << 36) - 1), (100, (1 << 52) - 1), (512, (1 << 64) - 1)],
)
def test_default_output_map(channels, expected):
    assert placed({"op": "Conv2d"}, (4, 4), outputs=channels).output_processors == expected


def test_output_map_precedence():
    final = {**conv(8), "output_processors": 0xF0}
    layers = [conv(3), final]
    weights = [(8, 3, 3, 3), (4, 8, 3, 3)]
    assert build(layers, weights, (3, 6, 6)).place(0).output_processors == 0xFF  # the next layer's processors
    assert build(layers, weights, (3, 6, 6)).place(1).output_processors == 0xF0
    assert build(layers, weights, (3, 6, 6), output_map=0xF00).place(1).output_processors == 0xF00
    layers[0] = {**conv(3), "output_processors": 0xFF00}
    assert build(layers, weights, (3, 6, 6)).place(0).output_processors == 0xFF00


def test_stop_after():
    """A layer that is final only for now still writes where its successor would have read. golden: demo-mnist_stop2"""
    layers = [conv(3), {**conv(8), "processors": 0xFF00}, conv(8)]
    weights = [(8, 3, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3)]
    network = build(layers, weights, (3, 6, 6), options=ResolveOptions(stop_after=0))
    assert [layer.index for layer in network.layers] == [0]
    assert network.place(network.final.index).output_processors == 0xFF00
    assert network.final.output
    assert build(layers, weights, (3, 6, 6), options=ResolveOptions(stop_after=2)).order == (0, 1, 2)
    with pytest.raises(Ai8xError, match=r"layer 3 to stop after does not exist"):
        build(layers, weights, (3, 6, 6), options=ResolveOptions(stop_after=3))


def test_input_offsets():
    layers = [conv(3, out_offset=0x2000), conv(8, out_offset=0x100), conv(8, in_offset=0x40)]
    weights = [(8, 3, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3)]
    network = build(layers, weights, (3, 6, 6))
    assert [network.place(layer.index).in_offset for layer in network.layers] == [0, 0x2000, 0x40]
    network = build(layers, weights, (3, 6, 6), options=ResolveOptions(input_offset=0x80))
    assert [network.place(layer.index).in_offset for layer in network.layers] == [0x80, 0x2000, 0x40]


def test_next_sequence():
    """The order 1, 0, 3, 2."""
    layers = [
        conv(4, next_sequence=3),
        conv(3, next_sequence=0),
        conv(4, next_sequence="stop"),
        conv(4, next_sequence=2),
    ]
    weights = [(4, 4, 3, 3), (4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3)]
    network = build(layers, weights, (3, 6, 6), MAX78002, ResolveOptions(start_layer=1))
    assert network.order == (1, 0, 3, 2)
    assert network.order == (1, 0, 3, 2)
    with pytest.raises(Ai8xError, match=r"layer 1: .*next_sequence = 0: the MAX78000 executes layers in list order"):
        build(layers, weights, (3, 6, 6), MAX78000, ResolveOptions(start_layer=1))


def test_endless_order():
    layers = [conv(3), conv(3, next_sequence=0)]
    with pytest.raises(Ai8xError, match=r"layer 0: .*the execution order returns"):
        build(layers, [(3, 3, 3, 3), (3, 3, 3, 3)], (3, 6, 6), MAX78002)


def test_successor_beyond_the_end_stops(console):
    layers = [conv(3), conv(3, next_sequence=9)]
    network = build(layers, [(3, 3, 3, 3), (3, 3, 3, 3)], (3, 6, 6), MAX78002, console=console)
    assert network.order == (0, 1)
    assert "next_sequence = 9" in "".join(console.warnings)


def test_outputs():
    layers = [conv(3, output=True), conv(3), conv(3)]
    network = build(layers, 3 * [(3, 3, 3, 3)], (3, 6, 6))
    assert [layer.index for layer in network.outputs()] == [0]
    layers = [conv(3), conv(3), conv(3)]
    network = build(layers, 3 * [(3, 3, 3, 3)], (3, 6, 6))
    assert [layer.index for layer in network.outputs()] == [2]


@pytest.mark.parametrize(("bits", "implicit"), [(8, 0), (4, 4), (2, 6), (1, 7), (-1, 7)])
def test_implicit_shift(bits, implicit):
    weights = [Weights((4, 3, 3, 3), bits=bits, shift=-2)]
    layer = build([conv(3)], weights, (3, 6, 6), MAX78002).start
    assert (layer.bits, layer.shift) == (bits, implicit - 2)


def test_bypass_has_its_own_default_shift():
    layer = {"op": "Conv2d", "bypass": True, "processors": 7, "out_offset": 0}
    assert build([layer], [], (3, 6, 6), MAX78002).start.shift == 7
    resolved = build([{**layer, "output_shift": 2}], [], (3, 6, 6), MAX78002).start
    assert (resolved.shift, resolved.channels_out, resolved.parameters) == (2, 3, None)


def test_shared_weights():
    layers = [conv(3), conv(3, weight_source=0)]
    network = build(layers, [Weights((3, 3, 3, 3), bias=[1, 2, 3], shift=2)], (3, 6, 6))
    shared, source = network[1].parameters, network[0].parameters
    assert shared.weights is source.weights
    assert shared.bias is source.bias
    assert (network[1].shift, network[1].channels_out) == (2, 3)


def test_weight_source_without_weights():
    layers = [{"op": "none", "processors": 7, "out_offset": 0}, conv(3, weight_source=0)]
    with pytest.raises(Ai8xError, match=r"layer 1: .*weight_source = 0"):
        build(layers, [], (3, 6, 6))


def test_all_zero_bias_counts_as_none():
    network = build([conv(3)], [Weights((3, 3, 3, 3), bias=[0, 0, 0])], (3, 6, 6))
    assert network.start.bias is None
    assert isinstance(network.start, Layer)
