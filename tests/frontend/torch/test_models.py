"""Every model that ships, traced, against its 8-bit mode in torch."""

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import model_network
from ai8x_tool.nn import named_fused_modules
from tests.support.traced_models import agree, randomize
from tests.support.zoo import ZooModel, zoo

LENGTH_ONE = ("ai85faceidnet_112", "ai87netmobilefacenet_112")
"""Models whose output software divides by its length."""
LARGE = ("ai85unetlarge", "ai87fpndetector")
SEQUENCES = ("ai85actiontcn",)
"""Models of sequences, of which the accelerator sees one input at a time."""
PADDED = (
    "ai85kws20netnas",
    "ai85kws20netv2",
    "ai85kws20netv2batchnorm",
    "ai85kws20netv3",
    "ai85nasnet_sequential_kws20",
)
"""Models that pad 1D data of more than 64 channels, which the MAX78002 cannot."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in zoo() if name not in SEQUENCES],
)
def test_model_equals_engine(name):
    published = zoo()[name]
    device = MAX78000 if name in PADDED else MAX78002
    model = randomize(published.build(simulate=True, device=device, bias=True), seed=len(name))
    compared = agree(model, published.shape, device, samples=1, in_software=name in LENGTH_ONE)
    fused = sum(module.op is not None for _, module in named_fused_modules(model))
    assert compared >= fused


def test_one_input_of_a_sequence_equals_the_engine():
    published = zoo()["ai85actiontcn"]
    model = randomize(published.build(simulate=True, device=MAX78002, bias=True), seed=1)
    assert agree(model, published.shape[1:], MAX78002, samples=1) >= len(dict(named_fused_modules(model)))


def test_what_is_refused():
    for name in PADDED:
        with pytest.raises(
            Ai8xError, match=r"padding . with [0-9]+ input channels: MAX78002 pads 1D data of at most 64"
        ):
            zoo()[name].build(device=MAX78002)
    for name, published in zoo().items():
        if name.startswith(("ai87net", "ai87imagenet", "ai87eff")):
            with pytest.raises(Ai8xError, match=r"groups=[0-9]+: MAX78000 has no depthwise convolutions"):
                published.build(device=MAX78000)


@pytest.mark.parametrize("name", sorted({n for n in zoo() if n.startswith("ai85")} - {*SEQUENCES, *LARGE}))
def test_models_for_the_smaller_device_are_traced_for_it(name):
    published = zoo()[name]
    network = model_network(published.build(), published.shape, MAX78000)
    assert network.input_shape == (*published.shape, 1)[:3] and len(network.layers) <= 32


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("compact1d", (16, 64)),
        ("compact2d", (3, 64, 64)),
        ("compactautoencoder", (64, 16)),
        ("compactautoencoder2d", (3, 16, 16)),
        ("compactunet", (3, 16, 16)),
        ("compactdetector", (3, 32, 32)),
    ],
)
def test_models_for_own_data_equal_the_engine(name, shape):
    model = ZooModel(name, MAX78000, shape, 4, True, (0, 0, 0), (), ()).build(simulate=True)
    compared = agree(randomize(model, seed=len(name)), shape, MAX78000, samples=1)
    assert compared >= sum(module.op is not None for _, module in named_fused_modules(model))
