"""The walk over every read and write: each kind of conflict in a small network, and the same network without it.

The judge of placements refuses each of them, and accepts the others.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.mapping import violations
from ai8x_tool.mapping.kernel_allocation import KernelPlacement
from ai8x_tool.mapping.mapping import Mapping
from ai8x_tool.mapping.replay import replay
from tests.support.case_folders import cases_folder, command_options, judged
from tests.support.golden_cases import entries, golden_folder, read_case
from tests.support.networks import Weights, build, mapped, random_kernels
from tests.support.replay_kinds import FOUR, KINDS, UNREPAIRED, conv


def look(network, options):
    """Return the rules that are broken, and the conflicts."""
    broken = violations(network, network.placement, network.device, options)
    return [violation.rule for violation in broken], replay(mapped(network, options))


@pytest.mark.parametrize("name", KINDS)
def test_conflict(name):
    kind = KINDS[name]
    rules, conflicts = look(kind.network(wrong=True), kind.options)
    assert kind.kind in [conflict.kind for conflict in conflicts]
    assert any(kind.found in conflict.text() for conflict in conflicts)
    assert kind.rule in rules


@pytest.mark.parametrize("name", [name for name in KINDS if name not in UNREPAIRED])
def test_without_conflict(name):
    kind = KINDS[name]
    assert look(kind.network(wrong=False), replace(kind.options, overlap_data=True)) == ([], [])


# -- Kernels and biases that lie elsewhere than the registers say ------------------------------------------------------


def tampered(mapping, index, **keys):
    """Return a mapping in which a layer's numbers are others."""
    layers = [replace(at, **keys) if at.layer.index == index else at for at in mapping.layers]
    return Mapping(mapping.placed, tuple(layers), mapping.quadrants, mapping.kernel_memory, mapping.bias_bytes)


def two_layers(first=0xF, second=0xF, bits=8, device=MAX78000, equal=True, bias=None, **keys):
    """Return a mapping of two layers, whose weights are `equal`, and which write to different processors."""
    kernels = [random_kernels(FOUR, bits, seed) for seed in (0, 0 if equal else 1)]
    layers = [conv(out=0x1000, output_processors=first, **keys), conv(in_sequences="input", in_offset=0, **keys)]
    layers[1] |= {"out_offset": 0x2000, "output_processors": second}
    weights = [Weights(kernel, bias, bits, -4) for kernel in kernels]
    return mapped(build(layers, weights, (4, 8, 8), device))


def kinds(mapping):
    return sorted({(conflict.kind, conflict.layer) for conflict in replay(mapping)})


def test_shared_kernels():
    shared, own = two_layers(), two_layers(second=0x1E)
    assert (shared[1].kernels.duplicate_of, own[1].kernels.duplicate_of) == (0, None)
    assert kinds(shared) == kinds(own) == []
    assert ("kernel", "layer 1") in kinds(tampered(own, 1, kernels=own[0].kernels))


def test_shared_biases():
    bias = np.array([3, 1, 4, 1])
    shared, own = two_layers(bias=bias), two_layers(second=0x1E, bias=bias)
    assert shared[0].bias == shared[1].bias
    assert own[0].bias != own[1].bias
    assert kinds(shared) == kinds(own) == []
    assert kinds(tampered(own, 1, bias=own[0].bias)) == [("bias", "layer 1")]


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_kernels_of_another_layer(bits):
    mapping = two_layers(bits=bits, equal=False)
    assert kinds(mapping) == []
    swapped = tampered(mapping, 1, kernels=mapping[0].kernels)
    assert kinds(swapped) == [("kernel", "layer 1")]


def test_columns_that_are_read_side_by_side():
    """An ordinary layer lies where the layer with calcx4 has its second quarter."""
    mapping = two_layers(device=MAX78002, equal=False, calcx4=True)
    assert kinds(mapping) == []
    mapping.kernel_memory.data[2, 1024] += 1
    assert kinds(mapping) == [("kernel", "layer 0")]


def test_column_beyond_the_memory():
    mapping = two_layers(equal=False)
    assert kinds(tampered(mapping, 0, kernels=KernelPlacement(766, 4, 4, 4))) == [("kernel", "layer 0")]


def test_unknown_kernels_have_a_place_of_their_own():
    mapping = two_layers(equal=False)
    layers = [replace(at, view=replace(at.view, kernels=None)) for at in mapping.layers]
    unknown = Mapping(mapping.placed, tuple(layers), mapping.quadrants, mapping.kernel_memory, mapping.bias_bytes)
    assert kinds(unknown) == []
    assert kinds(tampered(unknown, 1, kernels=mapping[0].kernels)) == [("kernel", "layer 1")]


# -- Reference data ----------------------------------------------------------------------------------------------------

TRUST = {
    "after-stream-in-place": "early",
    "concat-overwrites-older": "early",
    "control-adjacent": "early",
    "control-nofifo-inplace": "early",
    "databuffer-overwritten-after-read": "end",
    "fifo-nostream-inplace": "early",
    "output-overwritten-overlapdata": "end",
    "own-input-passthrough": "early",
    "own-input-transposed": "early",
    "readahead-gap-same-block": "read-ahead",
    "stream-last-multipass-over-rings": "ring",
}
RIGHT = ("dedup-different-out", "legal-78002-large-processor")


@pytest.fixture(scope="module")
def cases():
    folder = cases_folder()
    if not folder.is_dir():
        pytest.skip(f"no cases at {folder} (set AI8X_SHARED)")
    return folder


@pytest.mark.parametrize("name", TRUST)
def test_cases(cases, name):
    folder = cases / "trust" / name
    rules, conflicts = look(*judged(folder, command_options(folder)))
    assert rules
    assert TRUST[name] in [conflict.kind for conflict in conflicts]


def test_misaligned_offset(cases):
    """There are no words to walk through."""
    folder = cases / "trust" / "input-offset-misaligned-1"
    network, options = judged(folder, command_options(folder))
    broken = violations(network, network.placement, network.device, options)
    assert "constraint_aligned_offsets" in [violation.rule for violation in broken]


@pytest.mark.parametrize("name", RIGHT)
def test_cases_that_are_right(cases, name):
    folder = cases / "trust" / name
    assert look(*judged(folder, command_options(folder))) == ([], [])


@pytest.mark.parametrize(("network", "right"), [("i3", False), ("net", True), ("bad_wrong_inoffset", False)])
def test_residual_network(cases, network, right):
    options = {"network": f"{network}.yaml", "checkpoint": "q.pth.tar", "sample_input": "sample_shapes32.npy"}
    rules, conflicts = look(*judged(cases / "residual", options))
    assert (rules == [], conflicts == []) == (right, right)


def test_golden_programs_are_quiet(golden):
    """Beside those in which a FIFO does not feed what waits for it."""
    for entry in entries("accept")[::9]:
        case = read_case(golden_folder() / entry)
        rules, conflicts = look(case.network(), case.mapping_options())
        if "fifostream-group" in entry:
            assert rules and conflicts
        else:
            assert (rules, conflicts) == ([], []), entry


def test_time(golden):
    """A network of nine layers is walked through in a moment, judged in less."""
    case = read_case(golden / "accept/max78000/demo-kws20_v3")
    network, options = case.network(), case.mapping_options()
    mapping = mapped(network, options)
    walking, judging = [], []
    for _ in range(5):
        walking.append(seconds(lambda: replay(mapping)))
        judging.append(seconds(lambda: violations(network, network.placement, network.device, options)))
    assert min(walking) < 0.1
    assert min(judging) < 0.01


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start
