"""What is found out about networks that fit, and about those that do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai8x_tool.analysis import Clocks, analyze_network, require_fit, with_remedies
from ai8x_tool.analysis.buffers import data_buffers, fullest_instance
from ai8x_tool.analysis.device_analysis import AS_DESCRIBED, FOUND
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import LayerPlacement, MappingOptions, Placement
from ai8x_tool.mapping.cycles import estimated_cycles, minimum_cycles
from ai8x_tool.network import build_network

DEVICES = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


@DEVICES
def test_a_network_that_fits(residual, device):
    found = analyze_network(residual, None, device)
    assert found.fits and found.problem is None and found.placement == FOUND
    assert [layer.name for layer in found.layers if layer.name not in found.copies] == ["a", "b", "sum", "c"]
    pipeline = device.pipeline
    for layer in found.layers:
        mapped = found.mapping[layer.index]
        assert layer.cycles == estimated_cycles(mapped, pipeline=pipeline) > 0
        assert layer.cycles >= minimum_cycles(mapped.layer, mapped.view, pipeline=pipeline)
        assert layer.utilization is None or 0 < layer.utilization <= 1
        assert layer.processors == mapped.processors
    assert sum(layer.cycles for layer in found.layers) + 1 == found.cycles
    assert sum(layer.joules for layer in found.layers) == pytest.approx(found.estimate.inference.joules, rel=1e-4)
    assert found.tightest.share == max(resource.share for resource in found.resources) <= 1
    assert json.loads(json.dumps(found.document()))["fits"] is True


def test_sums_and_copies_write(residual):
    layers = {layer.name: layer for layer in analyze_network(residual, None, MAX78000).layers}
    assert layers["sum"].utilization is None and layers["sum"].parts.computing == 0 < layers["sum"].parts.writing
    assert layers["b"].parts.writing == 0 < layers["b"].parts.computing


def test_data_memory_is_counted_word_by_word(residual):
    """The values of the network, added up by hand: 256 pixels each, the operands of the sum side by side."""
    found = analyze_network(residual, None, MAX78000)
    buffers = data_buffers(found.mapping)
    assert {buffer.name for buffer in buffers} >= {"input", "a", "b", "sum", "c"}
    words, _, step = fullest_instance(buffers, MAX78000.instance_size // 4)
    alive = [buffer for buffer in buffers if buffer.born <= step <= buffer.dies]
    assert max(256, words) <= sum(256 for _ in alive)
    (data,) = [resource for resource in found.resources if resource.name == "data memory"]
    assert data.used == 4 * words


def test_kernel_memory(residual):
    found = analyze_network(residual, None, MAX78000)
    used = {resource.name: resource.used for resource in found.resources}
    loaded = found.mapping.kernel_memory.loaded
    assert used["kernel memory"] == 9 * loaded.sum()
    assert used["kernel columns"] == loaded.sum(axis=1).max()
    assert sum(layer.weight_bytes for layer in found.layers) <= used["kernel memory"]


def test_given_places(residual):
    network = build_network("two", residual.input_shape, residual.layers[:2])
    places = {"a": LayerPlacement(0x7, 0xFF, 0, 0x1000), "b": LayerPlacement(0xFF, 0xFF, 0x1000, 0)}
    found = analyze_network(network, Placement(places, ("a", "b")), MAX78000)
    assert found.placement == AS_DESCRIBED and found.path == "HWC input in data memory"
    places["b"] = LayerPlacement(0xFF, 0xFF, 0x1000, 0x1004)
    wrong = analyze_network(network, Placement(places, ("a", "b")), MAX78000)
    assert not wrong.fits and "layer 1 (b)" in wrong.problem
    assert wrong.shortage is None and wrong.remedies == ()
    (remedy,) = with_remedies(wrong, Placement(places, ("a", "b")), MAX78000, MappingOptions(), 20).remedies
    assert remedy.kind == "placement" and remedy.microseconds > 0


@pytest.mark.slow
def test_too_much_data(large):
    wrong = with_remedies(analyze_network(large, None, MAX78000), None, MAX78000, MappingOptions(), 20)
    assert not wrong.fits and "32,768" in wrong.problem and "\n" not in wrong.problem
    assert wrong.mapping is None and wrong.estimate is None
    assert wrong.remedies[-1].kind == "device"
    assert (wrong.shortage.resource, wrong.shortage.needed, wrong.shortage.available) == ("data memory", 36864, 32768)
    assert wrong.tightest.name == "data memory" and wrong.tightest.share == pytest.approx(36864 / 32768)
    assert [layer.cycles > 0 for layer in wrong.layers] == [True] * 2
    other = analyze_network(large, None, MAX78002)
    assert other.fits and 1e6 * other.estimate.inference.seconds == pytest.approx(wrong.remedies[-1].microseconds)
    with pytest.raises(Ai8xError, match="32,768"):
        require_fit(large, MAX78000, Console(), fix="or not", seconds=0.5)
    require_fit(large, MAX78002, Console(), fix="or not")


@DEVICES
def test_too_many_weights(heavy, device):
    wrong = analyze_network(heavy, None, device)
    assert "All weights must fit the kernel memory" in wrong.problem and f"{device.weight_bytes:,}" in wrong.problem
    assert wrong.tightest.name == "kernel memory"


def test_clocks():
    assert Clocks().of(MAX78000) == (50, False)
    assert Clocks().of(MAX78002) == (200, True)
    assert Clocks(pipeline=False).of(MAX78002) == (50, False)
    assert Clocks(divider=2).of(MAX78002) == (100, True)
    assert Clocks(pll=False).of(MAX78002) == (60, True)
    assert Clocks(pipeline=True).of(MAX78000) == (50, False)


def test_half_the_clock_is_half_as_fast(residual):
    slow, fast = (analyze_network(residual, None, MAX78002, clocks=Clocks(divider=divider)) for divider in (2, 1))
    assert slow.cycles == fast.cycles
    np.testing.assert_allclose(slow.estimate.inference.seconds, 2 * fast.estimate.inference.seconds)
