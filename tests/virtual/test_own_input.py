"""Layers whose output lies over their own input: the report against an execution in order, window by window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from tests.support.layer_kinds import INPUT, KINDS, conv, layer
from tests.support.networks import MAPPING, build, program, random_sample
from tests.support.reference_order import check_report, execute, in_order
from tests.support.register_programs import Board, copy
from tests.support.turns import in_turn

BOTH = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)
OFFSETS = (*range(-9, 22), *range(-150, 150, 25))


def stores(first, weights, shape, device, offset, mapping=MAPPING):
    network = build([{**first, "out_offset": INPUT + 4 * offset}], weights, shape, device)
    return program(network, mapping, sample=random_sample(shape)).stores()


@pytest.mark.parametrize("kind", in_turn(KINDS, 2))
def test_every_offset(kind):
    """Reports agree at every distance between input and output; both kinds of overlap occur."""
    *parts, device = KINDS[kind]
    severities = set()
    for offset in OFFSETS:
        virtual, (snapshot, *_) = execute(device, stores(*parts, device, offset))
        severities.add(check_report(virtual, snapshot))
    assert "note" in severities
    assert kind == "flatten" or severities & {"error", "warning"}


@pytest.mark.parametrize("fast", [False, True], ids=["standard", "fast"])
def test_frame_behind_a_fifo(fast):
    """Without streaming, the frame lies in data memory, and the first layer may overwrite it too early."""
    mapping = replace(MAPPING, fifo=True, fast_fifo=fast)
    severities = set()
    for offset in range(-24, 24):
        first = conv(processors=0x7)
        virtual, (snapshot,) = execute(MAX78000, stores(first, [(4, 3, 3, 3)], (3, 5, 6), MAX78000, offset, mapping))
        severities.add(check_report(virtual, snapshot))
    assert {"note", "error"} <= severities


@BOTH
def test_input_from_an_older_layer(device):
    """Layer 2 reads what layer 0 wrote, and writes right behind the start of it."""
    layers = [
        {**layer("none"), "in_offset": 0, "out_offset": INPUT},
        {**layer("none", 0xF0), "out_offset": 0x2000},
        {**conv(in_sequences=[0]), "out_offset": INPUT + 4 * 8},
    ]
    network = build(layers, [(4, 4, 3, 3)], (4, 6, 6), device)
    virtual, snapshots = execute(device, program(network).stores())
    assert [check_report(virtual, s) for s in snapshots] == [None, None, "error"]


def shifted(device, values, by, **options):
    """Return a board on which a layer copies `values`, a pixel in each of 8 words, `by` words further."""
    board = Board(device, **options)
    board.pixels([0], 0x10, [values])
    board.layer(**copy(device, 2, 4, RPTR=0x10, WPTR=0x10 + by))
    return board.start()


@BOTH
def test_text(device):
    (found,) = shifted(device, range(1, 9), 2).virtual.diagnostics
    assert str(found) == (
        "layer 0, WPTR: 6 words of its own input are overwritten before their last use, the first is word 0x12 of "
        "instance 0: output pixel 0 is written after window (0, 0) was read, window (0, 2) (row, column) still reads it"
    )
    with pytest.raises(Ai8xError, match="6 words of its own input"):
        assert shifted(device, range(1, 9), 2, strict=True).virtual.completed


@BOTH
def test_values_that_stay_the_same_are_a_warning(device):
    (found,) = shifted(device, [7] * 8, 1).virtual.diagnostics
    assert (found.severity, found.register) == ("warning", "WPTR")
    assert "happen to keep their values" in found.message


@BOTH
def test_output_that_leaves_the_memory(device):
    """What is written beyond the end changes nothing; what lies before is compared as always."""
    words = device.instance_size // 4
    board = Board(device)
    board.pixels([0], words - 8, [range(1, 9)])
    board.layer(**copy(device, 2, 4, RPTR=words - 8, WPTR=words - 6))
    first, second = (d for d in board.start().virtual.diagnostics if d.severity == "error")
    assert first.message.startswith("6 words of its own input are overwritten before their last use")
    assert second.message.startswith("2 results are written outside data memory")


@BOTH
@pytest.mark.parametrize("by", [0, -1, -7])
def test_trailing_overlaps_are_notes(device, by):
    (found,) = shifted(device, range(8), by, strict=True).virtual.diagnostics
    assert (found.severity, found.message) == (
        "note",
        f"trailing overlap: {8 + by} words of its own input are overwritten after their last use",
    )


@BOTH
@pytest.mark.parametrize("by", [8, -8])
def test_neighbors_are_no_overlap(device, by):
    assert shifted(device, range(8), by).virtual.diagnostics == []


def test_data_that_meet_zero_weights_only_are_not_needed():
    """Each pixel has two words, one for each pass; the output goes into the second word of the next pixel."""
    kernels = np.ones((4, 70, 1, 1), np.int64)
    first = conv("1x1", 0, processors=(1 << 36) - 1, write_gap=1)
    for used, expected in ((70, "error"), (36, None)):
        kernels[:, used:] = 0
        virtual, (snapshot,) = execute(MAX78000, stores(first, [kernels], (70, 2, 4), MAX78000, 3))
        assert check_report(virtual, snapshot) == expected


@BOTH
@pytest.mark.parametrize("kernel", [2, 3])
def test_folded_convolutions_do_not_need_what_lies_behind_their_data(device, kernel):
    """A widely dilated 1D convolution reads whole rows of ten pixels; of the last row, five are data."""
    first = layer("Conv1d", kernel_size=kernel, dilation=10, pad=0)
    skipped = 10 if kernel == 3 else 0
    for begin, expected in ((25, None), (24, "error")):
        virtual, (snapshot,) = execute(device, stores(first, [(4, 4, kernel, 1)], (4, 25, 1), device, begin + skipped))
        assert in_order(snapshot).conflicts
        assert check_report(virtual, snapshot, pixels=25) == expected
