"""Hand-written networks, stripped of their placements and copies, and mapped again."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.engine import run
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.lowering import lower, lower_sample
from ai8x_tool.mapper import map_automatically
from ai8x_tool.mapper.unplaced import without_copies
from ai8x_tool.mapping import map_network
from ai8x_tool.mapping.statistics import statistics
from ai8x_tool.synthesis.hardware_check import check_program
from tests.support.described_alike import misread
from tests.support.golden_cases import entries, golden_folder, read_case

pytestmark = pytest.mark.golden


def pytest_generate_tests(metafunc):
    every = metafunc.config.getoption("--all-golden")
    names = [name for i, name in enumerate(entries("accept")) if every or i % 25 == 0 or "demo-" in name]
    metafunc.parametrize("entry", names)


def test_as_good_as_by_hand(entry):
    """Same values, channel by channel; at most the cycles and copies; the program is right on the virtual device."""
    case = read_case(golden_folder() / entry)
    network = case.network()
    if network.placement.snoop is not None:
        pytest.skip("conditional execution")
    given = case.mapping()
    stripped, names = without_copies(network)
    found = map_automatically(stripped, case.device)
    mapping = map_network(found.network, found.placement, case.device, found.options)
    assert statistics(mapping).cycles <= statistics(given).cycles
    assert len(found.copies) <= len(network.layers) - len(stripped.layers)
    description = write_description(found.network, found.placement, case.device, options=found.options)
    checkpoint = case.checkpoint.read_bytes()
    assert misread(description, checkpoint, found.network, found.placement, case.device) == []
    by_hand = run(network, case.sample[None], network.placement.order)
    tensors = run(found.network, case.sample[None])
    for old, new in names.items():
        expected = by_hand.outputs[network[old].index]
        np.testing.assert_array_equal(tensors.outputs[found.network[new].index], expected)
    program = lower(mapping, case.lowering_options())
    assert check_program(program, lower_sample(program, case.sample, tensors), tensors).equal
