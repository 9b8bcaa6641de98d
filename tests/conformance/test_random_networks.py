"""Random legal networks become programs; mutated ones become programs or are refused by name. No internal errors.

The environment variable AI8X_RANDOM_NETWORKS sets how many of each are tried (default 60), AI8X_RANDOM_SEED the first
seed.
"""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from networks import QUIET, describe
from random_networks import random_network

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.parameters import load_parameters
from ai8x_tool.network.resolve import resolve
from ai8x_tool.synthesis import SynthesisOptions, synthesize_network

COUNT = int(os.environ.get("AI8X_RANDOM_NETWORKS", "60"))
FIRST = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
PROJECT = ProjectOptions("random", "random.yaml", "random-q.pth.tar")


def checkpoint(net):
    """Return the network's weights as a checkpoint would hold them."""
    state = {}
    takers = [layer for layer in net.layers if layer["op"].startswith(("Conv", "Linear"))]
    for index, (layer, weights) in enumerate(zip(takers, net.weights, strict=True)):
        kernels, name = weights.kernels, f"layer{index}"
        if layer["op"] == "ConvTranspose2d":
            kernels = kernels.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        trailing = {"Linear": 2, "Conv1d": 1}.get(layer["op"], 0)
        bits = abs(weights.bits)
        state[f"{name}.output_shift"] = np.array([weights.shift])
        state[f"{name}.weight_bits"] = np.array([bits])
        state[f"{name}.op.weight"] = kernels.reshape(kernels.shape[: 4 - trailing])
        if weights.bias is not None:
            state[f"{name}.op.bias"] = np.array(weights.bias) * (1 << (bits - 1))
    return Checkpoint(Path("random.pth.tar"), state, 0, "test_net", {}, {})


def synthesize(net, layers):
    description = describe(layers, net.device)
    parameters = load_parameters(description, checkpoint(net), net.device, QUIET)
    network = resolve(description, parameters, net.sample_shape, net.device, QUIET)
    return synthesize_network(network, net.sample, PROJECT, SynthesisOptions(), QUIET)


def test_legal_networks_are_accepted():
    print(f"seeds {FIRST} … {FIRST + COUNT - 1}")
    accepted = 0
    for seed in range(FIRST, FIRST + COUNT):
        net = random_network(seed)
        try:
            result = synthesize(net, net.layers)
        except Exception as error:
            # The generator does not know what is left of kernel and bias memory.
            if not (isinstance(error, Ai8xError) and "memory exhausted" in str(error)):
                pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
            continue
        assert "cnn_configure" in result.files["cnn.c"], seed
        accepted += 1
    assert accepted > 0.9 * COUNT


VALUES = [
    *(None, True, -1, 0, 1, 2, 3, 5, 16, 17, 64, 1000, 0x2000, 0x7FFC, 0x8000, 1 << 20, 1 << 64, 1.5, "", "x", "3x3"),
    *([], [1], [0, 0], [2, 3], [1, 2, 3], {}, "stop", "input", "Conv1d", "none", "binary", "CHW", "ReLU", "0xffff"),
]
KEYS = (
    *("op", "kernel_size", "pad", "stride", "max_pool", "avg_pool", "pool_stride", "processors", "output_processors"),
    *("in_offset", "out_offset", "write_gap", "read_gap", "flatten", "output_width", "activate", "quantization"),
    *("output_shift", "in_dim", "in_channels", "out_channels", "in_sequences", "next_sequence", "groups", "eltwise"),
    *("operands", "dilation", "streaming", "data_format", "bias_group", "name", "in_crop", "calcx4", "output", "oops"),
)


def mutated(net, r):
    layers = [dict(layer) for layer in net.layers]
    for _ in range(r.randint(1, 3)):
        layer = r.choice(layers)
        kind = r.randrange(4)
        if kind == 0:
            layer.pop(r.choice(list(layer)), None)
        elif kind == 1 and len(layers) > 1:
            layers.insert(r.randrange(len(layers)), layers.pop(r.randrange(len(layers))))
        else:
            layer[r.choice(KEYS if kind == 2 else list(layer) or KEYS)] = r.choice(VALUES)
    return layers


def test_mutated_networks_are_accepted_or_refused():
    print(f"seeds {FIRST} … {FIRST + COUNT - 1}")
    refused = 0
    for seed in range(FIRST, FIRST + COUNT):
        net = random_network(seed)
        layers = mutated(net, random.Random(seed))
        try:
            synthesize(net, layers)
        except Ai8xError as error:
            refused += 1
            assert "\n" not in str(error), seed
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}: {layers}")
    assert refused > COUNT // 4
