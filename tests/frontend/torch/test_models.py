"""Models that ship, traced, against their 8-bit mode in torch."""

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.nn import named_fused_modules
from ai8x_tool.plugins.find import find_model
from tests.support.traced_models import agree, randomize, simulated

SHAPES = {
    "ai85autoencoder": (256, 3),
    "ai85kws20netv3": (128, 128),
    "ai87kws20netv3": (128, 128),
    "ai85net5": (1, 28, 28),
    "ai85tinierssd": (3, 74, 74),
    "ai85unetsmall": (3, 80, 80),
    "ai85unetmedium": (3, 80, 80),
    "ai85unetlarge": (48, 88, 88),
    "bayer2rgbnet": (4, 64, 64),
}


def model_of(name, shape, device, **more):
    """Return a model of `models/` in 8-bit mode with random weights."""
    with simulated(device):
        dimensions = tuple((*shape[1:], 1)[:2])
        built = find_model(name).build(num_channels=shape[0], dimensions=dimensions, bias=True, **more)
    return randomize(built, seed=len(name))


@pytest.mark.parametrize("name", SHAPES)
def test_model_equals_engine(name):
    shape = SHAPES[name]
    device = MAX78000 if name.startswith("ai85kws") else MAX78002
    model = model_of(name, shape, device)
    compared = agree(model, shape, device, samples=1)
    fused = sum(module.op is not None for _, module in named_fused_modules(model))
    assert compared >= fused
