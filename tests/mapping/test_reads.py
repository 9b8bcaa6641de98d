"""Layers read each channel from where it was written: the judge against what the virtual device computes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.reads import wrong_read
from tests.support.networks import MAPPING, build, checked, program, random_sample

ALL = (1 << 64) - 1
A, B, C = 0x1000, 0x2000, 0x3000


def passing(out, processors=0xF, outputs=None, **keys):
    outputs = processors if outputs is None else outputs
    return {"op": "none", "processors": processors, "output_processors": outputs, "out_offset": out, **keys}


def conv(out, processors=0xF, outputs=0xF, **keys):
    keys = {"kernel_size": "1x1", "pad": 0, "activate": "none", **keys}
    return {"op": "Conv2d", "processors": processors, "output_processors": outputs, "out_offset": out, **keys}


@dataclass(frozen=True)
class Kind:
    """Layers of which the last one reads; `moved` are keys of layers (by index), each of which makes that wrong."""

    layers: tuple
    weights: tuple = ()
    shape: tuple = (4, 4, 4)
    device: object = MAX78000
    moved: tuple = ()

    def network(self, moves=()):
        layers = [dict(layer) for layer in self.layers]
        for index, keys in moves:
            layers[index] |= keys
        return build(layers, list(self.weights), self.shape, self.device)


DIRECT = (conv(A), conv(B))
ONE = (4, 4, 1, 1)
WIDE = (128, 128, 1, 1)
KINDS = {
    "previous layer": Kind(
        DIRECT,
        (ONE, ONE),
        moved=(
            [(1, {"in_offset": A + 4})],
            [(1, {"in_offset": A - 4})],
            [(1, {"processors": 0xF0}), (0, {"output_processors": 0xF})],
            [(1, {"processors": 0x1E}), (0, {"output_processors": 0xF})],
            [(0, {"write_gap": 1})],
            [(0, {"out_offset": A + 8}), (1, {"in_offset": A})],
        ),
    ),
    "older layer": Kind(
        (conv(A), passing(B, in_offset=A), conv(C, in_sequences=0, in_offset=A)),
        (ONE, ONE),
        moved=([(2, {"in_offset": A + 4})], [(2, {"processors": 0xF0})], [(2, {"in_offset": 0})]),
    ),
    "the input again": Kind(
        (conv(A), conv(B, in_sequences="input", in_offset=0)),
        (ONE, ONE),
        moved=([(1, {"in_offset": 4})], [(0, {"in_offset": 0x40})], [(1, {"processors": 0xF0})]),
    ),
    "two passes": Kind(
        (conv(A, ALL, ALL), conv(B, ALL, ALL)),
        (WIDE, WIDE),
        (128, 3, 3),
        moved=([(1, {"in_offset": A + 4})], [(1, {"in_offset": A + 8})], [(0, {"write_gap": 1})]),
    ),
    "two instances": Kind(
        (conv(A, outputs=0x3C), conv(B, 0x3C)),
        (ONE, ONE),
        moved=([(1, {"processors": 0x78})], [(1, {"processors": 0xF}), (0, {"output_processors": 0x3C})]),
    ),
    "operands word by word": Kind(
        (
            conv(A, write_gap=1),
            conv(A + 4, in_sequences="input", in_offset=0, write_gap=1),
            {**passing(B, in_sequences=[0, 1], in_offset=A), "op": "sub"},
        ),
        (ONE, ONE),
        moved=(
            [(2, {"in_sequences": [1, 0]})],
            [(2, {"in_offset": A + 4})],
            [(0, {"write_gap": 0})],
            [(1, {"out_offset": A + 8})],
        ),
    ),
    "sources side by side": Kind(
        (
            conv(A),
            conv(A, outputs=0xF0, in_sequences="input", in_offset=0),
            conv(B, 0xFF, in_sequences=[0, 1], in_offset=A),
        ),
        (ONE, ONE, (4, 8, 1, 1)),
        moved=(
            [(2, {"in_sequences": [1, 0]})],
            [(1, {"out_offset": A + 0x100})],
            [(1, {"output_processors": 0x1E0})],
            [(2, {"in_offset": A + 4})],
        ),
    ),
    "sources pixel after pixel": Kind(
        (
            conv(A),
            passing(A + 0x40, in_sequences="input", in_offset=0, max_pool=2, pool_stride=2),
            conv(B, in_sequences=[0, 1], in_offset=A, in_dim=[5, 4]),
        ),
        (ONE, ONE),
        moved=([(1, {"out_offset": A + 0x44})], [(2, {"in_offset": A + 4})], [(2, {"in_sequences": [1, 0]})]),
    ),
    "rows left out": Kind(
        (conv(A), conv(B, in_offset=A + 0x10, in_dim=[2, 4], in_crop=[1, 1])),
        (ONE, ONE),
        moved=([(1, {"in_offset": A})], [(1, {"in_offset": A + 0x20})]),
    ),
    "other rows and columns": Kind(
        (conv(A), conv(B, in_dim=[8, 2])),
        (ONE, ONE),
        moved=([(1, {"in_offset": A + 4})], [(0, {"write_gap": 1})]),
    ),
    "gaps that are read over": Kind(
        (conv(A, write_gap=2), conv(B, read_gap=2)),
        (ONE, ONE),
        device=MAX78002,
        moved=([(1, {"read_gap": 1})], [(0, {"write_gap": 1})], [(1, {"in_offset": A + 4})]),
    ),
}


def judged(kind, moves=()):
    """Return what the judge says of the last layer, and whether the device computes the right values."""
    network = kind.network(moves)
    placed = place(network, network.placement, network.device, MappingOptions())
    sample = random_sample(network.input_shape)
    lowered = program(network, sample=sample)
    check = checked(lowered, run(network, sample[None], network.simulated))
    before = [wrong_read(placed, at) for at in placed.layers[:-1]]
    assert before == [None] * len(before)
    return wrong_read(placed, placed.layers[-1]), check.equal


def each_move():
    for name, kind in KINDS.items():
        for number, moves in enumerate(kind.moved):
            yield pytest.param(kind, moves, id=f"{name} {number}")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_right_places(kind):
    assert judged(kind) == (None, True)


@pytest.mark.parametrize(("kind", "moves"), list(each_move()))
def test_wrong_places(kind, moves):
    wrong, equal = judged(kind, moves)
    assert wrong is not None
    assert not equal


def wrong_of(layers, weights, shape, index, device=MAX78000, options=MAPPING):
    network = build(layers, weights, shape, device)
    placed = place(network, network.placement, device, options)
    return wrong_read(placed, placed.layers[index])


def test_message():
    """Channel 70 is the seventh of the second pass: its first pixel lies a word behind that of channel 6."""
    layers = [conv(A, outputs=ALL >> 28), conv(B, ALL >> 24, in_offset=A)]
    assert wrong_of(layers, [(70, 4, 1, 1), (4, 70, 1, 1)], (4, 2, 2), 1) is None
    layers[1]["processors"] = (ALL >> 28) ^ 1 | 1 << 36
    wrong = wrong_of(layers, [(70, 4, 1, 1), (4, 70, 1, 1)], (4, 2, 2), 1)
    assert (wrong.label, wrong.channel) == ("layer 0", 0)
    assert (wrong.reads, wrong.lies) == ("processor 1, offset 0x1000", "processor 0, offset 0x1000")


def test_distances_between_pixels_are_compared():
    wrong = wrong_of([conv(A, write_gap=1), conv(B)], [ONE, ONE], (4, 4, 4), 1)
    assert (wrong.reads, wrong.lies) == ("a pixel every 1 words", "one every 2 words")
    assert wrong_of([conv(A, write_gap=1), conv(B)], [ONE, ONE], (4, 1, 1), 1) is None


def test_wide_outputs_are_not_read():
    wrong = wrong_of([conv(A, output_width=32), conv(B)], [ONE, ONE], (4, 4, 4), 1)
    assert wrong.lies == "it is 32 bits wide"


def test_channels_of_four_pixels_are_not_read_again():
    """CHW input is for the first layer alone."""
    layers = [conv(A, 0x1111, data_format="CHW"), conv(B, 0x1111, in_sequences="input", in_offset=0)]
    assert wrong_of(layers, [ONE, ONE], (4, 4, 4), 0) is None
    assert "CHW" in wrong_of(layers, [ONE, ONE], (4, 4, 4), 1).lies


def test_streams_are_not_read_again():
    layers = [
        conv(A, streaming=True, outputs=0xF0),
        conv(B, 0xF0, 0xF00, streaming=True),
        conv(C, 0xF0, in_sequences=0, in_offset=A),
    ]
    fifo = MappingOptions(fifo=True)
    assert [wrong_of(layers, [ONE] * 3, (4, 8, 8), index, options=fifo) for index in (0, 1)] == [None, None]
    wrong = wrong_of(layers, [ONE] * 3, (4, 8, 8), 2, options=fifo)
    assert (wrong.label, wrong.lies) == ("layer 0", "it streams into the next layer and is not kept")
    again = [*layers[:2], conv(C, in_sequences="input", in_offset=0)]
    assert wrong_of(again, [ONE] * 3, (4, 8, 8), 2, options=fifo).lies == "it streams and is not kept"
