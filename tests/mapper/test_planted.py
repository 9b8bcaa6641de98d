"""Planted problems: memory that is full at every step, kernel memory that is nearly full."""

from __future__ import annotations

import pytest

from ai8x_tool.device import MAX78000
from ai8x_tool.mapper.columns import tight_assignments
from ai8x_tool.mapper.exact import pack_exactly
from ai8x_tool.mapper.offsets import Block, Group, lower_bound
from ai8x_tool.mapper.packing import pack_values
from tests.mapper.planted import COLUMNS, kernel_strip, tiling

WORDS = 2048


@pytest.mark.parametrize("count", [10, 20, 40])
def test_memory_that_is_full_at_every_step(count):
    for seed in range(10):
        groups = tiling(count, WORDS, seed)
        assert lower_bound(groups) == WORDS
        packed = pack_values(groups, WORDS, {}, thorough=True, stop=lambda: False)
        assert packed.packing is not None, f"seed {seed}"
        assert packed.packing.peak == packed.bound == WORDS
        _check(groups, packed.packing.places)


def _check(groups, places):
    for i, one in enumerate(groups):
        for other in groups[:i]:
            a, b = one.blocks[0], other.blocks[0]
            first, second = places[one.name], places[other.name]
            assert not a.meets(b) or first + a.last < second or second + b.last < first


def test_one_word_less_is_proven_to_be_too_little():
    """Three values of 2 words, each alive with two others; at most 4 words live at a time, but 5 are needed."""
    lives = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 0), (5, 5)]
    groups = [Group(f"g{i}", (Block(1, 0, 1, *life),)) for i, life in enumerate(lives)]
    assert pack_exactly(groups, lower_bound(groups) - 1).packing is None
    assert pack_exactly(groups, lower_bound(groups) - 1).complete


def test_more_than_the_greatest_demand_may_be_needed():
    """Two values in the middle of memory at different times keep a third one, which sees both, from its place."""
    lives = [(3, 0, 1), (1, 1, 3), (3, 3, 4), (1, 0, 0), (3, 2, 2), (1, 4, 4)]
    blocks = [Block(1, 0, last, born, dies) for last, born, dies in lives]
    groups = [Group(f"g{i}", (block,)) for i, block in enumerate(blocks)]
    packed = pack_values(groups, 64, {}, thorough=True, stop=lambda: False)
    assert packed.packing is not None
    assert packed.packing.peak == packed.bound == 6


@pytest.mark.parametrize("count", [8, 12, 20])
def test_kernel_memory_that_is_nearly_full(count):
    for seed in range(4):
        kernels, demands = kernel_strip(count, 0.9, seed)
        starts = next(iter(tight_assignments(kernels, demands, {}, MAX78000)), None)
        assert starts is not None, f"seed {seed}"
        used = [0] * 64
        for entry, start in zip(kernels, starts, strict=True):
            taken = 0
            for processor in range(start, start + 4 * len(entry.groups)):
                taken |= used[processor]
            window = (1 << entry.columns) - 1
            offset = next(o for o in range(0, COLUMNS, 4) if not taken >> o & window)
            assert offset + entry.columns <= COLUMNS
            for processor in range(start, start + 4 * len(entry.groups)):
                used[processor] |= window << offset
