"""Networks that do not fit: the tightest resource, and what was tried and helps."""

from __future__ import annotations

import pytest

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.mapper import UnmappableError, map_automatically, remedies
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.placement import nothing_placed
from ai8x_tool.network import INPUT
from ai8x_tool.synthesis.automatic_placement import place_automatically
from tests.mapper.test_small_networks import CHAIN, conv, network


def shortage(found, device, **keys):
    with pytest.raises(UnmappableError) as raised:
        map_automatically(found, device, **keys)
    return raised.value.shortage


def kinds(found):
    return [remedy.kind for remedy in found]


def test_no_remedy_for_what_fits():
    assert remedies(network(*CHAIN), MAX78000) == ()


def test_too_many_weights():
    wide = [conv("a", (INPUT,), 192, 3), conv("b", ("a",), 256, 192), conv("c", ("b",), 4, 256)]
    given = network(*wide, shape=(3, 8, 8))
    problem = shortage(given, MAX78000)
    assert problem.resource == "kernel memory"
    assert problem.needed > problem.available == MAX78000.weight_bytes
    found = remedies(given, MAX78000, shortage=problem)
    assert kinds(found) == ["weight bits", "channels", "device"]
    assert found[0].layers == ("b",)
    assert found[0].retraining
    assert not found[2].retraining
    assert found[0].weight_bytes < found[2].weight_bytes
    assert found[1].cycles < found[0].cycles


def test_too_much_data():
    deep = [conv("a", (INPUT,), 64, 16), conv("b", ("a",), 64, 64), conv("c", ("b",), 4, 64)]
    given = network(*deep, shape=(16, 96, 96))
    problem = shortage(given, MAX78000)
    assert (problem.resource, problem.available) == ("data memory", MAX78000.instance_size)
    found = remedies(given, MAX78000, shortage=problem)
    assert kinds(found) == ["folding", "device"]
    assert "fold the input by 2 to 64×48×48" in found[0].text
    assert found[0].peak <= MAX78000.instance_size < found[1].peak


def test_input_that_need_not_come_through_a_fifo():
    given = network(conv("a", (INPUT,), 8, 20), shape=(20, 16, 16))
    options = MappingOptions(fifo=True)
    problem = shortage(given, MAX78002, options=options)
    assert problem.resource == "structure"
    found = remedies(given, MAX78002, options, shortage=problem)
    assert found[0].kind == "input"
    assert "HWC input in data memory" in found[0].text


def test_the_error_names_the_cheapest_remedy():
    wide = [conv("a", (INPUT,), 192, 3), conv("b", ("a",), 256, 192), conv("c", ("b",), 4, 256)]
    given = network(*wide, shape=(3, 8, 8))
    opened = PlacedDescription(given, nothing_placed(given))
    with pytest.raises(UnmappableError, match=r"kernel memory: all layers need .* \(train b with 4-bit weights: .* ms"):
        place_automatically(opened, MAX78000, MappingOptions(), Console(-1, muted=True))
