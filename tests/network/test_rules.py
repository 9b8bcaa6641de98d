"""Each rule about networks is broken by a small one; the message is its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.network import BUFFER, INPUT, Buffer, Layer, Parameters, build_network
from ai8x_tool.network.device_rules import DEVICE_LAYER_RULES, DEVICE_NETWORK_RULES, DeviceLayer, DeviceNetwork
from ai8x_tool.rule import require
from tests.support.networks import Weights
from tests.support.rule_cases import (
    Case,
    builds,
    check_message,
    conv,
    each_case,
    passing,
    point,
    resolves,
    rules_tested,
)


def weights(*shape, bias=None):
    return Parameters("a", np.ones(shape, np.int64), None if bias is None else np.array(bias), 8, 0)


def chain(count):
    """Return `count` layers that copy."""
    names = [str(i) for i in range(count)]
    return [Layer(name, (before,), "none") for before, name in zip((INPUT, *names), names, strict=False)]


def runs_on(device, *layers, shape=(3, 8, 8), words="", where="layer 0"):
    """Return a case that asks whether a network of `layers` can run on `device`."""

    def run(_):
        network = build_network("net", shape, layers)
        for rule in DEVICE_LAYER_RULES:
            for layer in network.layers:
                require(rule, DeviceLayer(layer, device))
        for rule in DEVICE_NETWORK_RULES:
            require(rule, DeviceNetwork(network, device))

    return Case(run, words, where)


SOURCES = [conv(), conv(0xF, out_offset=0x400), {**passing(0xF, in_sequences=[0, 1]), "op": "add"}]
TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]

CASES = {
    "constraint_depthwise_device": [
        runs_on(MAX78000, Layer("a", (INPUT,), groups=3), words="3 groups on the MAX78000")
    ],
    "constraint_pooling_dilation_device": [
        runs_on(
            *(MAX78002, Layer("a", (INPUT,), "none", pool=(2, 2), pool_dilation=(17, 1))),
            **{"shape": (3, 32, 8), "words": "pool_dilation = 17"},
        )
    ],
    "constraint_padded_passes_device": [
        runs_on(
            MAX78002, Layer("a", (INPUT,), "conv1d", kernel=(3, 1), pad=(1, 0)), shape=(65, 8, 1), words="65 channels"
        )
    ],
    "constraint_channels_device": [runs_on(MAX78000, Layer("a", (INPUT,), channels_out=1025), words="1025 channels")],
    "constraint_dimensions_device": [runs_on(MAX78000, Layer("a", (INPUT,)), shape=(3, 1025, 2), words="1025")],
    "constraint_layers_device": [runs_on(MAX78000, *chain(33), words="33 layers, the MAX78000 has 32", where="net: ")],
    "constraint_weights_device": [
        runs_on(
            *(MAX78000, Layer("a", (INPUT,), kernel=(3, 3), channels_out=1024)),
            **{"shape": (64, 8, 8), "words": "589,824 bytes, the MAX78000 has 442,368", "where": "net: "},
        )
    ],
    "constraint_biases_device": [
        runs_on(
            *(MAX78000, *(replace(x, operator="conv2d", channels_out=800, bits=1, use_bias=True) for x in chain(3))),
            **{"words": "2,400 values, the MAX78000 holds 2,048", "where": "net: "},
        )
    ],
    "constraint_source_channels": [
        resolves([conv(), conv(0xFF), SOURCES[2]], [(8, 3, 3, 3), (4, 8, 3, 3)], words="layer 0 has 8, layer 1 has 4")
    ],
    "constraint_source_sizes": [
        resolves([SOURCES[0], conv(0xF, pad=0), SOURCES[2]], TWO, words="layer 0 is 8×8, layer 1 is 6×6 (set in_dim)")
    ],
    "constraint_source_pixels": [
        resolves(
            [*SOURCES[:2], {**SOURCES[2], "in_dim": [8, 4]}], TWO, words="needs 32 pixels per channel, the sources have"
        )
    ],
    "constraint_pooled_size": [
        resolves(
            [conv(max_pool=4, pool_stride=1)], [TWO[0]], (3, 3, 8), words="pooling (4×4) is larger than the data (3×8)"
        )
    ],
    "constraint_kernel_fits": [resolves([conv(pad=0)], [TWO[0]], (3, 2, 8), words="the kernel (3×3) is larger")],
    "constraint_flatten_pixels": [
        resolves([point(7, flatten=True)], [(4, 192, 1, 1)], (3, 3, 5), words="192 weights per output")
    ],
    "constraint_input_channels": [
        resolves([conv(), conv(0xF, in_sequences=[0])], [(8, 3, 3, 3), (4, 4, 3, 3)], words="expect 4 input channels"),
    ],
    "constraint_output_channels": [resolves([conv(out_channels=5)], [TWO[0]], words="have 4 outputs")],
    "constraint_operand_sources": [
        resolves([conv(), {**passing(0xF), "op": "add"}], [TWO[0]], words="2 operands, but it reads layer 0")
    ],
    "constraint_sources_exist": [
        builds(Layer("a", ()), words="no inputs"),
        builds(Layer("a", ("b",)), words="there is no layer 'b'"),
        builds(Layer("a", (BUFFER,), "none"), words="the network has no rolling buffer"),
    ],
    "constraint_unique_name": [
        builds(Layer("a", (INPUT,)), Layer("A", (INPUT,)), words="'A' is already used", where="layer 1"),
        builds(Layer("", (INPUT,)), words="the name is empty"),
    ],
    "constraint_wide_output_activation": [
        resolves([conv(output_width=32, activate="ReLU")], [TWO[0]], words="activate = relu"),
        builds(Layer("a", (INPUT,), output_width=32, activation="abs"), words="activate = abs"),
    ],
    "constraint_equal_strides": [
        resolves([passing(max_pool=2, pool_stride=[1, 2])], words="pool_stride = [1, 2]"),
        builds(Layer("a", (INPUT,), pool_stride=(1, 2)), words="pool_stride = [1, 2]"),
    ],
    "constraint_stride": [
        resolves([conv(stride=2)], [TWO[0]], words="stride = [2, 2]"),
        builds(Layer("a", (INPUT,), "linear", stride=(1, 2)), words="stride = [1, 2]"),
    ],
    "constraint_pad_passthrough": [
        resolves([passing(pad=1)], words="pad = 1"),
        builds(Layer("a", (INPUT,), "none", pad=(1, 0)), words="pad = 1"),
    ],
    "constraint_pad_kernel": [
        resolves([point(7, pad=1)], [(4, 3, 1, 1)], words="pad = 1, kernel 1×1"),
        builds(Layer("a", (INPUT,), kernel=(3, 3), pad=(3, 3)), words="pad = 3, kernel 3×3"),
    ],
    "constraint_passthrough_activation": [
        resolves([passing(activate="ReLU")], words="activate = relu"),
        builds(Layer("a", (INPUT,), "none", activation="abs"), words="activate = abs"),
    ],
    "constraint_buffer_shift": [
        builds(Layer("a", (BUFFER,), buffer_shift=1), buffer=Buffer("past", 3, (8, 1)), words="operation = conv2d")
    ],
    "constraint_numbers": [
        builds(words="there are no layers", where="net: "),
        builds(Layer("a", (INPUT,), index=1), Layer("b", ("a",), index=3), words="[1, 3]", where="net: "),
        builds(Layer("a", (INPUT,), index=1), Layer("b", ("a",), index=1), words="[1, 1]", where="net: "),
    ],
    "constraint_input_shape": [builds(Layer("a", (INPUT,)), shape=(3, 0, 8), words="3×0×8", where="net: ")],
    "constraint_positive": [
        builds(Layer("a", (INPUT,), pool_stride=(0, 1)), words="pool_stride = (0, 1)"),
        builds(Layer("a", (INPUT,), kernel=(1, 0)), words="kernel = (1, 0)"),
        builds(Layer("a", (INPUT,), groups=0), words="groups = 0"),
        builds(Layer("a", (INPUT,), pad=(0, -1)), words="pad = (0, -1)"),
    ],
    "constraint_operands": [
        builds(Layer("a", (INPUT,), "none", operands=2), words="eltwise = None, operands = 2"),
        builds(Layer("a", (INPUT,), "none", eltwise="add"), words="operands = 1"),
        builds(Layer("a", (INPUT,), "none", eltwise="or", operands=17), words="operands = 17"),
    ],
    "constraint_weights": [
        builds(Layer("a", (INPUT,), parameters=weights(4, 3, 3, 3)), words="are 4×3×3×3, the kernel is 1×1"),
        builds(Layer("a", (INPUT,), parameters=weights(4, 3)), words="are 4×3, the kernel"),
        builds(Layer("a", (INPUT,), parameters=weights(0, 3, 1, 1)), words="are 0×3×1×1"),
        builds(Layer("a", (INPUT,), "none", parameters=weights(3, 3, 1, 1)), words="a layer without kernels"),
        builds(Layer("a", (INPUT,), bypass=True, parameters=weights(3, 3, 1, 1)), words="a layer without kernels"),
    ],
    "constraint_bias_count": [
        resolves([conv()], [Weights(TWO[0], [1, 2, 3])], words="3 values, 4 channels"),
        builds(Layer("a", (INPUT,), parameters=weights(4, 3, 1, 1, bias=[0, 0])), words="2 values, 4 channels"),
    ],
    "constraint_source_values": [
        resolves(
            [conv(in_channels=2)],
            [(4, 2, 3, 3)],
            words="2 channels of 8×8 pixels are expected, the input provides 3×8",
        ),
        resolves([passing(in_dim=[5, 4])], words="any number of channels of 5×4 pixels"),
        builds(
            Layer("a", (INPUT,), "none", eltwise="add", operands=2), shape=(7, 8, 8), words="2 operands with any number"
        ),
    ],
    "constraint_no_cycle": [
        builds(Layer("a", ("b",)), Layer("b", ("a",)), words="it waits for b"),
        builds(Layer("a", ("a",)), words="it waits for a"),
        builds(Layer("a", ("b",)), Layer("b", ("c", INPUT)), Layer("c", ("b",)), words="waits for c", where="layer 1"),
    ],
}


def test_every_rule_has_a_case():
    assert set(CASES) == rules_tested("networks")


@pytest.mark.parametrize(("name", "case"), each_case(CASES))
def test_rule(name, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_message(name, case, capsys)
