"""Words that layers read and write, and when, against loops over windows and elements and against the device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.device import MAX78000
from ai8x_tool.device.bits import bit_indices
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.words import (
    NEVER,
    Words,
    first_common,
    input_words,
    instances_of,
    output_words,
    reading_times,
    writing_times,
    written_words,
)
from tests.support.layer_kinds import KINDS, conv, layer
from tests.support.networks import build, program
from tests.support.reference_order import execute, stores_by_pixel
from tests.support.reference_words import last_uses, output_places, windows_read, writing_steps

ALL = (1 << 64) - 1
MORE = {
    # name: (layer, weights, shape, device)
    "strided windows": (layer("none", max_pool=[3, 2], pool_stride=2), [], (4, 9, 8), MAX78000),
    "rows that no window reaches": (conv(max_pool=2, pool_stride=2), [(4, 4, 3, 3)], (4, 7, 5), MAX78000),
    "one pixel": (layer("none", avg_pool=[4, 3], pool_stride=1), [], (4, 4, 3), MAX78000),
    "stretched kernel": (layer("Conv1d", kernel_size=3, pad=0, dilation=3), [(4, 4, 3, 1)], (4, 20, 1), MAX78000),
    "several processors in each pass": (layer("none", ALL, ALL), [], (128, 3, 2), MAX78000),
    "32 bits in two passes": (conv(outputs=(1 << 36) - 1, output_width=32), [(70, 4, 3, 3)], (4, 3, 3), MAX78000),
    "short last pass": (conv(outputs=(1 << 44) - 1, write_gap=1), [(129, 4, 3, 3)], (4, 3, 3), MAX78000),
}
EVERY = {**KINDS, **MORE}


def placed_layer(given, weights, shape, device, out_offset=0x4000):
    network = build([{**given, "out_offset": out_offset}], weights, shape, device)
    return place(network, network.placement, device, MappingOptions()).layers[0]


def places(words):
    """Return [(instance, word)] of all words, those of one instance after those of another."""
    return [(i, int(word)) for i in bit_indices(words.instances) for word in words.positions()]


def all_places(found):
    return {x for words in found for x in places(words)}


regular = st.builds(
    lambda instances, first, step, length, run: Words(instances, first, step, length, min(run, step)),
    *(st.integers(1, 7), st.integers(0, 40), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4)),
)


@given(regular)
def test_positions(words):
    expected = [words.first + i * words.step + k for i in range(words.length) for k in range(words.run)]
    assert words.positions().tolist() == expected
    assert words.last == expected[-1]


@given(regular, regular)
def test_first_word_in_common(one, other):
    both = sorted(set(one.positions().tolist()) & set(other.positions().tolist()))
    mask = one.instances & other.instances
    expected = ((mask & -mask).bit_length() - 1, both[0]) if both and mask else None
    assert first_common([one], [other]) == expected


def test_first_word_in_common_of_several():
    far, near = Words(1, 100, 1, 4), Words(2, 6, 3, 4)
    assert first_common([far], [near]) is None
    assert first_common([far, near], [Words(3, 0, 1, 8)]) == (1, 6)
    assert first_common([], [near]) is None


@pytest.mark.parametrize(
    ("processors", "instances"), [(0, 0), (1, 1), (0x8, 1), (0x11, 3), (0xF0, 2), (ALL, 0xFFFF), (1 << 63, 0x8000)]
)
def test_instances(processors, instances):
    assert instances_of(processors) == instances


@pytest.mark.parametrize("kind", EVERY)
def test_words_of_the_input(kind):
    """All that a window reads is listed, with the number of the last window that reads it."""
    at = placed_layer(*EVERY[kind])
    words = input_words(at)
    times = dict(zip(words.positions().tolist(), reading_times(at).tolist(), strict=True))
    uses = last_uses(at)
    assert set(uses) <= set(places(words))
    expected: dict[int, int] = {}
    for (_, word), number in uses.items():
        expected[word] = max(number, expected.get(word, -1))
    if at.layer.flatten:  # nothing is written before all windows have been read
        assert set(times.values()) == {0}
    else:  # words that no window reads may be overwritten at any time
        assert times == {word: expected.get(word, NEVER) for word in times}
        assert max(times.values()) < len(windows_read(at))


@pytest.mark.parametrize("kind", EVERY)
def test_words_of_the_output(kind):
    """The output lies where others read it; it is written when the last window that it needs has been read."""
    at = placed_layer(*EVERY[kind])
    pixels = at.layer.out_size[0] * at.layer.out_size[1]
    assert all_places(output_words(at)) == set().union(*(output_places(at, pixel) for pixel in range(pixels)))
    times = {}
    for words, steps in writing_times(at):
        for instance in bit_indices(words.instances):
            times |= dict(zip([(instance, w) for w in words.positions().tolist()], steps.tolist(), strict=True))
    assert set(times) == all_places(written_words(at))
    expected = writing_steps(at)
    if at.layer.flatten:
        expected = dict.fromkeys(expected, 0)
    assert {place: times.get(place) for place in expected} == expected


@pytest.mark.parametrize("kind", EVERY)
def test_words_that_the_device_writes(kind):
    """The judge knows every word that the accelerator stores, and no others."""
    *parts, device = EVERY[kind]
    given, weights, shape = parts
    network = build([{**given, "out_offset": 0x4000}], weights, shape, device)
    _, (snapshot, *_) = execute(device, program(network).stores())
    written = snapshot.run.written
    stored = {place[:2] for pixel in stores_by_pixel(written) for place in pixel}
    at = place(network, network.placement, device, MappingOptions()).layers[0]
    assert all_places(written_words(at)) == stored


@pytest.mark.parametrize("taps", [2, 3])
def test_folded_convolutions_write_around_their_output(taps):
    """A widely dilated 1D convolution runs on reshaped data: whole rows of 11, a row too early for three taps."""
    given = layer("Conv1d", kernel_size=taps, dilation=11, pad=0)
    at = placed_layer(given, [(4, 4, taps, 1)], (4, 50, 1), MAX78000)
    written = all_places(written_words(at))
    skipped = 11 if taps == 3 else 0
    assert written == {(0, 0x1000 - skipped + i) for i in range(5 * 11)}
    assert all_places(output_words(at)) == {(0, 0x1000 + i) for i in range(50 - 11 * (taps - 1))}


def test_passes_as_rows():
    """Where passes are executed as rows of their own, each pass of a pixel is read, then written."""
    given = layer("add", ALL, ALL, operands=3)
    at = placed_layer(given, [], (3 * 128, 2, 3), MAX78000, 0x6000)
    assert at.view.emulated
    assert reading_times(at).tolist() == np.repeat(np.arange(12), 3).tolist()
    ((words, times),) = writing_times(at)
    assert words.positions().tolist() == list(range(0x1800, 0x180C))
    assert times.tolist() == list(range(12))
