"""Placements of which some keys are given: they are kept, the rest is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.mapper import UnmappableError, map_automatically
from ai8x_tool.mapping.placement import LayerPlacement, Placement
from tests.mapper.test_small_networks import CHAIN, DEVICES, JOINED, RESIDUAL, network, verified


def given(layers, chw=False, **keys):
    places = {layer.name: LayerPlacement() for layer in layers} | keys
    return Placement(places, tuple(layer.name for layer in layers), chw=chw)


@DEVICES
def test_processors_and_offsets_are_kept(device):
    wanted = LayerPlacement(processors=0xFF << 20, out_offset=0x2000)
    found = map_automatically(network(*CHAIN), device, given=given(CHAIN, b=wanted))
    at = found.placement.layers["b"]
    assert (at.processors, at.out_offset) == (0xFF << 20, 0x2000)
    assert found.placement.layers["a"].output_processors == 0xFF << 20
    verified(found, device)


@DEVICES
def test_a_place_in_a_network_that_needs_copies(device):
    wanted = LayerPlacement(output_processors=0xFF << 8)
    found = map_automatically(network(*RESIDUAL), device, given=given(RESIDUAL, sum=wanted))
    assert found.placement.layers["sum"].output_processors == 0xFF << 8
    assert found.placement.layers["a"].output_processors == 0xFF << 8
    verified(found, device)


def test_the_whole_placement_is_kept():
    found = map_automatically(network(*JOINED), MAX78000)
    again = map_automatically(network(*JOINED), MAX78000, given=found.placement)
    assert again.placement == found.placement


def test_keys_that_nothing_else_depends_on():
    wanted = LayerPlacement(bias_groups=(1,), calcx4=True)
    found = map_automatically(network(*CHAIN), MAX78002, given=given(CHAIN, b=wanted, a=LayerPlacement(processors=7)))
    at = found.placement.layers["b"]
    assert (at.bias_groups, at.calcx4) == ((1,), True)


def test_streaming_layers_that_are_given():
    first = LayerPlacement(streaming=True)
    found = map_automatically(network(*CHAIN), MAX78000, given=given(CHAIN, a=first))
    assert found.path.streams == 1
    assert found.options.fifo
    verified(found, MAX78000)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"b": LayerPlacement(processors=0xFF), "a": LayerPlacement(output_processors=0xFF0)},
            "contradict those",
        ),
        ({"b": LayerPlacement(in_offset=0), "a": LayerPlacement(out_offset=8)}, "contradicts those"),
        ({"a": LayerPlacement(out_offset=MAX78000.instance_size)}, "no packing of all values"),
        ({"a": LayerPlacement(write_gap=1)}, "write_gap = 1 is given, but 0 is needed"),
        ({"b": LayerPlacement(processors=0x5F5)}, "contradict those"),
    ],
)
def test_contradictions(keys, message):
    with pytest.raises(UnmappableError, match=message):
        map_automatically(network(*CHAIN), MAX78000, given=given(CHAIN, **keys))


def test_a_part_of_a_found_placement():
    found = map_automatically(network(*RESIDUAL), MAX78002)
    some = {name: replace(at, in_offset=None, out_offset=None) for name, at in found.placement.layers.items()}
    again = map_automatically(found.network, MAX78002, given=replace(found.placement, layers=some))
    assert {n: at.processors for n, at in again.placement.layers.items()} == {
        n: at.processors for n, at in some.items()
    }
