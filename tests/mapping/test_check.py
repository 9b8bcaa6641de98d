"""The judge of placements: it names everything that is wrong, and needs neither description, console nor lowering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import LayerPlacement, MappingOptions, Placement, map_network, violations
from ai8x_tool.mapping.check import LAYER_PHASES, examine
from ai8x_tool.network import INPUT, Layer, Parameters, build_network

ALL = (1 << 64) - 1


def weights(*shape, shift=0):
    return Parameters("key", np.random.default_rng(shape).integers(-100, 100, shape), None, 8, shift)


def convolution(name, source, *shape, **keys):
    return Layer(name, (source,), kernel=(3, 3), pad=(1, 1), parameters=weights(*shape, 3, 3), **keys)


NETWORK = build_network(
    "net",
    (3, 8, 8),
    [convolution("first", INPUT, 4, 3), convolution("second", "first", 4, 4), Layer("copy", ("second",), "none")],
)
PLACES = {
    "first": LayerPlacement(0x7, 0xF, 0, 0x1000),
    "second": LayerPlacement(0xF, 0xF0, 0x1000, 0x2000),
    "copy": LayerPlacement(0xF0, 0xF0, 0x2000, 0x3000),
}
PLACEMENT = Placement(PLACES, ("first", "second", "copy"))


def moved(placement=PLACEMENT, /, **changes):
    """Return the placement with other values for some layers: {layer: {field: value}}."""
    places = {name: replace(at, **changes.get(name, {})) for name, at in placement.layers.items()}
    return replace(placement, layers=places)


def names(found):
    return [violation.rule for violation in found]


def test_right_placement():
    assert violations(NETWORK, PLACEMENT, MAX78000) == []
    assert map_network(NETWORK, PLACEMENT, MAX78000).network is NETWORK


def test_everything_wrong_is_named():
    """Rules about layers come first, phase by phase, then data memory."""
    wrong = moved(
        first={"readahead": True},
        second={"out_offset": 0x20000, "bias_groups": (3,)},
        copy={"in_offset": 0x2004},
    )
    found = violations(NETWORK, wrong, MAX78000)
    assert names(found)[:4] == [
        "constraint_output_offset",
        "constraint_parallel",
        "constraint_output_size",
        "constraint_bias_group",
    ]
    assert {"constraint_output_memory", "constraint_reads_source"} <= set(names(found))
    assert {violation.severity for violation in found} == {"error"}
    by_rule = {violation.rule: violation for violation in found}
    assert by_rule["constraint_parallel"].where == "layer 0 (first)"
    assert by_rule["constraint_output_offset"].where == "layer 1 (second)"
    assert by_rule["constraint_reads_source"].where == "layer 2 (copy)"
    assert str(by_rule["constraint_bias_group"]).startswith("layer 1 (second): bias_group must name quadrants")


def test_one_rule_can_be_broken_by_several_layers():
    found = violations(NETWORK, moved(first={"processors": 0xF}, second={"processors": 0x7}), MAX78000)
    assert [v.where for v in found if v.rule == "constraint_processors"] == ["layer 0 (first)", "layer 1 (second)"]


@pytest.mark.parametrize(
    "changes",
    [
        {"first": {"processors": 0xF}},
        {"copy": {"in_offset": 0x2004}},
        {"second": {"out_offset": 0x1000}},
        {"second": {"calcx4": True}, "first": {"output_processors": 0xFF}},
        {"first": {"processors": 0x70000}, "second": {"processors": 0xF0000}, "copy": {"processors": 0xF0000}},
    ],
    ids=str,
)
def test_no_mapping_has_violations(changes):
    """Where there are some, the first of them is raised."""
    wrong = moved(**changes)
    found = violations(NETWORK, wrong, MAX78000)
    with pytest.raises(Ai8xError) as caught:
        map_network(NETWORK, wrong, MAX78000)
    assert str(caught.value) in [str(violation) for violation in found]


def test_options_and_device_count():
    trailing = moved(copy={"out_offset": 0x2000})
    assert names(violations(NETWORK, trailing, MAX78000)) == ["constraint_trailing_overlap"]
    assert violations(NETWORK, trailing, MAX78000, MappingOptions(overlap_data=True)) == []
    parallel = moved(first={"calcx4": True})
    assert names(violations(NETWORK, parallel, MAX78000))[0] == "constraint_parallel"
    assert violations(NETWORK, parallel, MAX78002) == []


def test_warnings_and_remarks_are_not_errors():
    """They are among what is examined, unless only errors are asked for."""
    layers = [replace(layer, output=layer.name in ("first", "copy")) for layer in NETWORK.layers]
    network = build_network("net", (3, 8, 8), [*layers[:1], replace(layers[1], output_width=32), layers[2]])
    found = list(examine(network, PLACEMENT, MAX78000))
    assert ("warning", "caution_wide_intermediate") in [(v.severity, v.rule) for v in found]
    severities = {v.severity for v in examine(network, PLACEMENT, MAX78000, errors_only=True)}
    assert severities <= {"error", "remark"}
    assert {v.severity for v in violations(network, PLACEMENT, MAX78000)} <= {"error"}


def test_open_placements_have_one_violation():
    (found,) = violations(NETWORK, moved(second={"out_offset": None}), MAX78000)
    assert (found.severity, str(found).startswith("layer 1 (second): the layer is not placed")) == ("error", True)
    (found,) = violations(NETWORK, replace(PLACEMENT, layers={}), MAX78000)
    assert "layer 0 (first)" in str(found)
    assert moved(second={"processors": None}).missing() == ["second"]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (("first", "second"), "'copy' is left out"),
        (("first", "second", "copy", "copy"), "a layer runs twice"),
        (("first", "second", "copie"), "no layer 'copie'"),
    ],
)
def test_orders_of_other_layers(order, text):
    (found,) = violations(NETWORK, replace(PLACEMENT, order=order), MAX78000)
    assert text in str(found) and str(found).startswith("net: ")


def test_layers_that_cannot_be_executed_at_all():
    """A dilation that the device does not know leaves nothing else to say."""
    network = build_network("net", (3, 9, 9), [convolution("first", INPUT, 4, 3, dilation=(2, 2))])
    (found,) = violations(network, Placement({"first": PLACES["first"]}, ("first",)), MAX78000)
    assert found.rule == "constraint_dilation"


def test_memories_that_are_full():
    layers = [convolution("a", INPUT, 512, 64), convolution("b", "a", 64, 512)]
    network = build_network("net", (64, 2, 2), layers)
    places = {"a": LayerPlacement(ALL, ALL, 0, 0x1000), "b": LayerPlacement(ALL, ALL, 0x1000, 0x2000)}
    found = violations(network, Placement(places, ("a", "b")), MAX78000)
    assert names(found) == ["constraint_kernel_memory"]
    assert found[0].where == "layer 1 (b)"
    with_biases = [
        replace(layer, parameters=replace(layer.parameters, bias=np.ones(len(layer.parameters.weights), np.int64)))
        for layer in layers
    ]
    places = {name: replace(at, bias_groups=(3,)) for name, at in places.items()}
    both = violations(build_network("net", (64, 2, 2), with_biases), Placement(places, ("a", "b")), MAX78000)
    assert names(both) == ["constraint_kernel_memory", "constraint_bias_memory"]


def test_weights_need_not_be_known():
    """A network that is not trained yet is judged, too: its kernels take the space that they will need."""
    layers = [replace(layer, parameters=None, index=0) for layer in NETWORK.layers]
    network = build_network("net", (3, 8, 8), [replace(x, index=i) for i, x in enumerate(layers)])
    assert violations(network, PLACEMENT, MAX78000) == []
    unknown = Layer("a", (INPUT,), kernel=(3, 3), pad=(1, 1), channels_out=1024, bits=8)
    wide = build_network("net", (64, 2, 2), [unknown, Layer("b", ("a",), kernel=(3, 3), pad=(1, 1), channels_out=64)])
    places = {"a": LayerPlacement(ALL, ALL, 0, 0x1000), "b": LayerPlacement(ALL, ALL, 0x1000, 0x2000)}
    assert names(violations(wide, Placement(places, ("a", "b")), MAX78000)) == ["constraint_kernel_memory"]


def test_judging_changes_nothing():
    before = moved()
    violations(NETWORK, PLACEMENT, MAX78000)
    assert before == PLACEMENT
    assert violations(NETWORK, PLACEMENT, MAX78000) == violations(NETWORK, PLACEMENT, MAX78000) == []


def test_phases_have_rules_of_their_own():
    rules = [rule for phase in LAYER_PHASES for rule in phase.rules]
    assert len(set(rules)) == len(rules)
