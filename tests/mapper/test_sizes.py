"""Models whose input grows: what fits, what fits by overwriting what has been read, and what does not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from ai8x_tool.device import MAX78000
from ai8x_tool.frontend.torch import model_network
from ai8x_tool.mapper import UnmappableError, map_automatically, remedies
from ai8x_tool.network import build_network
from tests.support.zoo import zoo

OPEN = dict.fromkeys(("in_size", "pooled_size", "out_size"), (0, 0))


@cache
def small_network(name):
    """Return the network of a model of the zoo with small square input."""
    model = zoo()[name]
    return model_network(model.build(dimensions=(32, 32)), (model.shape[0], 32, 32), MAX78000)


def sized(name, size):
    """Return the network of a model with square input, all sizes derived anew."""
    network = small_network(name)
    layers = [replace(layer, **OPEN) for layer in network.layers]
    return build_network(name, (network.input_shape[0], size, size), layers)


def test_u_nets():
    small = map_automatically(sized("ai85unetlarge", 64), MAX78000)
    assert not small.options.overlap_data
    assert small.peak == small.peak_bound
    full = map_automatically(sized("ai85unetlarge", 88), MAX78000)
    assert full.options.overlap_data
    assert full.trailing
    large = sized("ai85unetlarge", 96)
    with pytest.raises(
        UnmappableError, match=r"the input needs 36,864 bytes .* holds 32,768: 4,096 bytes too many"
    ) as no:
        map_automatically(large, MAX78000)
    assert [remedy.kind for remedy in remedies(large, MAX78000, shortage=no.value.shortage)] == ["folding", "device"]


@pytest.mark.parametrize("size", [32, 48])
def test_residual_networks(size):
    """The peak is the smallest possible: four bytes less are not enough."""
    network = sized("ai85ressimplenet", size)
    found = map_automatically(network, MAX78000)
    assert found.peak == found.peak_bound == size * size * 12
    exact = replace(MAX78000, instance_size=found.peak)
    assert map_automatically(network, exact, path=found.path, overlap=False).cycles == found.cycles
    smaller = replace(MAX78000, instance_size=found.peak - 4)
    with pytest.raises(UnmappableError, match=r"data memory: .* 4 bytes too many"):
        map_automatically(network, smaller, path=found.path, overlap=False)


def test_processors_that_need_less_memory():
    """Values that need not share instances do not: the peak is that of one class of values."""
    found = map_automatically(sized("ai85unetsmall", 80), MAX78000)
    smaller = replace(MAX78000, instance_size=found.peak - 4)
    with pytest.raises(UnmappableError, match="data memory"):
        map_automatically(sized("ai85unetsmall", 80), smaller, path=found.path, overlap=False)
