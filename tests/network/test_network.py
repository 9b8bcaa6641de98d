"""Networks built in Python: what is derived, what is refused, and how layers are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network import BUFFER, INPUT, Buffer, Layer, Parameters, build_network
from ai8x_tool.rule import BrokenRuleError

SQUARE = {"kernel": (3, 3), "pad": (1, 1)}


def weights(*shape, bits=8, shift=0, bias=None):
    values = np.random.default_rng(shape).integers(-100, 100, shape)
    return Parameters("key", values, None if bias is None else np.asarray(bias), bits, shift)


def conv(name, source, *shape, **keys):
    """Return a 3×3 convolution that keeps the size, with weights (out, in)."""
    return Layer(name, (source,), **{**SQUARE, **keys}, parameters=weights(*shape, 3, 3))


def passing(name, *sources, **keys):
    return Layer(name, sources, "none", **keys)


def one(layer, shape=(3, 8, 8), **keys):
    """Return the only layer of a network."""
    return build_network("net", shape, [layer], **keys).layers[0]


def refused(rule, *layers, shape=(3, 8, 8), **keys):
    """Expect that `rule` is the broken one; return the message."""
    with pytest.raises(BrokenRuleError) as caught:
        build_network("net", shape, layers, **keys)
    assert caught.value.violation.rule == rule
    return str(caught.value)


def small():
    """Return the layers of a network with a skip connection and a linear layer."""
    return [
        conv("stem", INPUT, 4, 3),
        conv("deep", "stem", 4, 4, activation="relu", pool=(2, 2), pool_stride=(2, 2)),
        passing("short", "stem", pool=(2, 2), pool_stride=(2, 2)),
        passing("sum", "deep", "short", eltwise="add", operands=2),
        Layer("fc", ("sum",), "linear", flatten=True, output_width=32, parameters=weights(10, 4 * 16, 1, 1)),
    ]


# -- Derived values ----------------------------------------------------------------------------------------------------


def test_sizes_and_channels_follow_from_the_input():
    network = build_network("net", (3, 8, 8), small())
    found = {layer.name: (layer.channels_in, layer.channels_out, layer.out_size) for layer in network.layers}
    assert found == {
        "stem": (3, 4, (8, 8)),
        "deep": (4, 4, (4, 4)),
        "short": (4, 4, (4, 4)),
        "sum": (4, 4, (4, 4)),
        "fc": (4, 10, (1, 1)),
    }
    assert (network["deep"].in_size, network["deep"].pooled_size) == ((8, 8), (4, 4))
    assert [layer.index for layer in network.layers] == [0, 1, 2, 3, 4]
    assert network["fc"].weight_shape == (10, 64, 1, 1)
    assert (network.first, len(network.layers), network.has_bias) == (0, 5, False)


def test_the_engine_runs_a_network_built_in_python():
    network = build_network("net", (3, 8, 8), small())
    samples = np.random.default_rng(0).integers(-128, 128, (2, 3, 8, 8))
    assert run(network, samples).last.shape == (2, 10, 1, 1)


def test_given_layers_are_not_changed():
    layers = small()
    before = [replace(layer) for layer in layers]
    built = build_network("net", (3, 8, 8), layers)
    assert layers == before
    assert build_network("net", (3, 8, 8), layers) == built
    assert build_network("net", (3, 8, 8), built.layers) == built
    assert build_network("net", (3, 6, 8), layers[:1]) != build_network("net", (3, 8, 8), layers[:1])


def test_the_source_of_a_layer_is_no_part_of_what_it_computes():
    assert one(passing("a", INPUT, source="net.yaml:3")) == one(passing("a", INPUT, source="model.py:7"))


@pytest.mark.parametrize(
    ("layer", "shape", "channels"),
    [
        (Layer("a", (INPUT,), kernel=(3, 3), groups=3, parameters=weights(3, 1, 3, 3)), (3, 8, 8), (3, 3)),
        (
            Layer("a", (INPUT,), "convtranspose2d", kernel=(3, 3), stride=(2, 2), parameters=weights(5, 3, 3, 3)),
            (3, 8, 8),
            (3, 5),
        ),
        (
            Layer(
                *("a", (INPUT,), "convtranspose2d"),
                **{"kernel": (3, 3), "stride": (2, 2), "groups": 3, "parameters": weights(1, 3, 3, 3)},
            ),
            (3, 8, 8),
            (3, 3),
        ),
        (Layer("a", (INPUT,), "linear", flatten=True, parameters=weights(7, 3 * 20, 1, 1)), (3, 4, 5), (3, 7)),
        (Layer("a", (INPUT,), eltwise="sub", operands=3, parameters=weights(5, 4, 1, 1)), (12, 8, 8), (4, 5)),
        (passing("a", INPUT, eltwise="xor", operands=2), (6, 8, 8), (3, 3)),
        (Layer("a", (INPUT,), kernel=(3, 3), channels_out=5), (3, 8, 8), (3, 5)),
        (Layer("a", (INPUT,), bypass=True), (3, 8, 8), (3, 3)),
        (passing("a", INPUT, in_size=(4, 4)), (3, 8, 8), (12, 12)),
    ],
    ids=["depthwise", "transposed", "depthwise and transposed", "flatten", "operands", "xor", "open", "bypass", "read"],
)
def test_channels(layer, shape, channels):
    built = one(layer, shape)
    assert (built.channels_in, built.channels_out) == channels
    if built.parameters is not None:
        assert built.weight_shape == built.parameters.weights.shape


def test_channels_and_pixels_of_several_inputs():
    """Inputs of one size are joined channel by channel; what is read in another arrangement keeps its values."""
    sources = [conv("a", INPUT, 4, 3), conv("b", INPUT, 5, 3), conv("c", INPUT, 4, 3, pool=(2, 1), pool_stride=(2, 2))]
    joined = build_network("net", (3, 8, 8), [*sources[:2], passing("d", "a", "b")])["d"]
    assert (joined.channels_in, joined.in_size) == (9, (8, 8))
    stacked = build_network("net", (3, 8, 8), [sources[0], sources[2], passing("d", "a", "c", in_size=(20, 4))])["d"]
    assert (stacked.channels_in, stacked.in_size) == (4, (20, 4))


@pytest.mark.parametrize(
    ("bits", "shift", "total"), [(8, 0, 0), (8, -3, -3), (4, 1, 5), (2, 0, 6), (1, -7, 0), (-1, 0, 7)]
)
def test_width_and_shift_are_those_of_the_weights(bits, shift, total):
    layer = one(replace(conv("a", INPUT, 4, 3), parameters=weights(4, 3, 3, 3, bits=bits, shift=shift)))
    assert (layer.bits, layer.shift) == (bits, total)


def test_layers_without_weights():
    assert (one(passing("a", INPUT)).bits, one(passing("a", INPUT)).has_weights) == (0, False)
    unknown = one(Layer("a", (INPUT,), **SQUARE, channels_out=4, use_bias=True))
    assert (unknown.bits, unknown.has_weights, unknown.has_bias, unknown.bias) == (8, True, True, None)


def test_bias():
    biased = replace(conv("a", INPUT, 2, 3), parameters=weights(2, 3, 3, 3, bias=[1, -2]))
    assert one(biased).bias.tolist() == [1, -2]
    assert build_network("net", (3, 8, 8), [biased]).has_bias
    zero = replace(biased, parameters=weights(2, 3, 3, 3, bias=[0, 0]))
    assert one(zero).bias is None
    assert not build_network("net", (3, 8, 8), [zero]).has_bias
    assert build_network("net", (3, 8, 8), [zero], has_bias=True).has_bias


def test_pooling_of_one_dimensional_data_looks_along_them():
    layer = one(passing("a", INPUT, pool=(4, 4), pool_stride=(4, 4)), (3, 16, 1))
    assert (layer.pool, layer.out_size) == ((4, 1), (4, 1))


# -- Outputs -----------------------------------------------------------------------------------------------------------


def outputs(*layers):
    return [layer.name for layer in build_network("net", (3, 8, 8), layers).outputs()]


def test_outputs_are_what_nobody_reads():
    assert outputs(passing("a", INPUT), passing("b", "a"), passing("c", "a")) == ["b", "c"]


def test_marked_outputs_are_the_only_ones():
    layers = passing("a", INPUT, output=True), passing("b", "a"), passing("c", "a")
    assert outputs(*layers) == ["a"]


# -- Order, names and numbers ------------------------------------------------------------------------------------------


def test_layers_may_be_listed_in_any_order():
    network = build_network("net", (3, 8, 8), [conv("last", "first", 2, 5), conv("first", INPUT, 5, 3)])
    assert network.evaluation_order() == ("first", "last")
    assert [(layer.name, layer.index) for layer in network.layers] == [("last", 0), ("first", 1)]
    assert [layer.channels_in for layer in network.layers] == [5, 3]


def test_the_order_of_evaluation_keeps_to_the_list():
    network = build_network("net", (3, 8, 8), small())
    assert network.evaluation_order() == ("stem", "deep", "short", "sum", "fc")


def test_numbers_sort_the_layers():
    layers = [passing("b", "a", index=5), passing("a", INPUT, index=4)]
    network = build_network("net", (3, 8, 8), layers)
    assert [layer.name for layer in network.layers] == ["a", "b"]
    assert (network.first, network[5].name, network["a"].index) == (4, "b", 4)
    assert (3 in network, 4 in network, 6 in network, "b" in network, "c" in network) == (
        False,
        True,
        False,
        True,
        False,
    )


def test_readers():
    network = build_network("net", (3, 8, 8), small())
    assert [layer.name for layer in network.readers("stem")] == ["deep", "short"]
    assert [layer.name for layer in network.readers(INPUT)] == ["stem"]
    assert network.readers("fc") == []
    with pytest.raises(KeyError):
        network["nobody"]


def test_labels():
    network = build_network("net", (3, 8, 8), [passing("0", INPUT), passing("end", "0", source="model.end")])
    assert [layer.is_named for layer in network.layers] == [False, True]
    assert [layer.label for layer in network.layers] == ["layer 0", "layer 1 (end)"]
    assert [layer.where for layer in network.layers] == ["layer 0", "model.end: layer 1 (end)"]


def test_rolling_buffer():
    buffer = Buffer("past", 3, (8, 1))
    layers = [
        passing("shift", BUFFER, buffer_shift=1, in_size=(7, 1)),
        passing("new", INPUT, buffer_insert=1),
        Layer("look", (BUFFER,), "conv1d", kernel=(3, 1), parameters=weights(4, 3, 3, 1)),
    ]
    network = build_network("net", (3, 1, 1), layers, buffer=buffer)
    assert [layer.out_size for layer in network.layers] == [(7, 1), (1, 1), (6, 1)]
    assert [layer.name for layer in network.readers(BUFFER)] == ["shift", "look"]
    assert network.buffer == buffer


# -- Refused -----------------------------------------------------------------------------------------------------------


def test_cycles_are_named():
    """The layer that the message names is one of the cycle, not one that waits for it."""
    layers = passing("end", "b"), passing("a", "b"), passing("b", "c", INPUT), passing("c", "a")
    message = refused("constraint_no_cycle", *layers)
    assert message.startswith(("layer 1 (a): ", "layer 2 (b): ", "layer 3 (c): "))


def test_unknown_inputs_are_named_with_the_layer():
    message = refused(
        "constraint_sources_exist", conv("a", INPUT, 4, 3), replace(conv("b", "A", 4, 4), source="m.py:7")
    )
    assert message.startswith("m.py:7: layer 1 (b): ") and "'A'" in message


def test_names_are_unique_in_any_case():
    assert "'conv'" in refused("constraint_unique_name", passing("Conv", INPUT), passing("conv", INPUT))


def test_operands_have_equal_channels_and_sizes():
    layers = conv("a", INPUT, 4, 3), conv("b", INPUT, 5, 3)
    both = passing("sum", "a", "b", eltwise="add", operands=2)
    assert "layer 0 (a) has 4, layer 1 (b) has 5" in refused("constraint_source_channels", *layers, both)
    layers = conv("a", INPUT, 4, 3), conv("b", INPUT, 4, 3, pad=(0, 0))
    assert "is 8×8" in refused("constraint_source_sizes", *layers, both)
    alone = passing("sum", "a", eltwise="add", operands=2)
    refused("constraint_operand_sources", layers[0], alone)


def test_weights_that_do_not_match_the_input():
    message = refused("constraint_input_channels", conv("a", INPUT, 4, 3), conv("b", "a", 4, 5))
    assert message.startswith("layer 1 (b): ") and "expect 5 input channels, layer 0 (a) provides 4" in message
    forgotten = Layer("fc", (INPUT,), "linear", parameters=weights(10, 192, 1, 1))
    assert "add flatten" in refused("constraint_input_channels", forgotten)
    refused("constraint_output_channels", conv("a", INPUT, 4, 3, channels_out=5))


def test_empty_outputs():
    refused("constraint_pooled_size", passing("a", INPUT, pool=(9, 2)))
    refused("constraint_kernel_fits", Layer("a", (INPUT,), kernel=(3, 3), channels_out=2), shape=(3, 2, 8))


def test_messages_have_one_line():
    for layers in ([], [passing("", INPUT)], [passing("a", "a")], [conv("a", INPUT, 4, 2)]):
        with pytest.raises(Ai8xError) as caught:
            build_network("net", (3, 8, 8), layers)
        assert "\n" not in str(caught.value)
