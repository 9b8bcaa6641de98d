"""Every kind of fused module in 8-bit mode computes what the integer engine computes, bit for bit."""

import numpy as np
import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.device import MAX78002
from ai8x_tool.engine import run
from ai8x_tool.nn import build_context
from tests.support.networks import Weights, build

ACTIVATIONS = {"": "None", "ReLU": "ReLU", "Abs": "Abs"}
POOLS = {"": {}, "MaxPool": {"max_pool": 2, "pool_stride": 2}, "AvgPool": {"avg_pool": 2, "pool_stride": 2}}


def module(name, bits, weights, bias, shift, *arguments, **options):
    with build_context(MAX78002, simulate=True):
        built = getattr(nn, name)(*arguments, bias=True, **options)
    state = {
        "op.weight": torch.tensor(weights, dtype=torch.float32),
        "op.bias": torch.tensor(bias * (1 << bits - 1), dtype=torch.float32),
        "output_shift": torch.tensor([float(shift)]),
        "weight_bits": torch.tensor([bits]),
        "bias_bits": torch.tensor([bits]),
    }
    built.load_state_dict(state, strict=False)
    return built.eval()


def draw(bits, shape, seed):
    r = np.random.default_rng(seed)
    weights = r.integers(-(1 << bits - 1), 1 << bits - 1, shape)
    return (
        weights,
        r.integers(-128, 128, shape[0]),
        r.integers(-128, 128, (16, shape[1], 9, 8 if len(shape) == 4 else 1)),
    )


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_convolution(bits, activation, pool, dimensions):
    name = f"Fused{pool}Conv{dimensions}d{activation}" if pool or activation else f"Conv{dimensions}d"
    shape = (7, 5, 3, 3) if dimensions == 2 else (7, 5, 3)
    weights, bias, samples = draw(bits, shape, [bits, dimensions, len(activation), len(pool)])
    shift = -1
    torch_module = module(name, bits, weights, bias, shift, 5, 7, 3, padding=1)
    inputs = torch.tensor(samples if dimensions == 2 else samples[..., 0], dtype=torch.float32)
    with torch.no_grad():
        expected = torch_module(inputs).numpy().reshape(16, 7, -1)
    layer = {"op": f"Conv{dimensions}d", "kernel_size": "3x3" if dimensions == 2 else 3, "pad": 1, "out_offset": 0x1000}
    layer |= {"processors": 0x1F, "activate": ACTIVATIONS[activation], "quantization": bits, **POOLS[pool]}
    kernels = Weights(weights.reshape(7, 5, 3, -1), bias, bits, shift)
    network = build([layer], [kernels], samples.shape[1:], MAX78002)
    assert np.array_equal(run(network, samples).last.reshape(16, 7, -1), expected)


def test_abs_rounds_before_it_drops_the_sign():
    """A sum of −64 is −0.5: the accelerator rounds it to 0."""
    weights, bias = np.array([[[[-1]]]]), np.array([0])
    torch_module = module("FusedConv2dAbs", 8, weights, bias, 0, 1, 1, 1)
    with torch.no_grad():
        assert torch_module(torch.full((1, 1, 1, 1), 64.0)).item() == 0
