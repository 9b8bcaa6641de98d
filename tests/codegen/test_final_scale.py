"""Final scales in generated projects, executed on this machine."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.codegen.unload import placements
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.engine import run as run_engine
from ai8x_tool.mapping.regions import OutputRegion
from ai8x_tool.synthesis.synthesize import SynthesisOptions
from tests.support import networks
from tests.support.networks import Weights, build, program, random_sample
from tests.support.small_projects import (
    DEFAULT,
    DEVICES,
    classifier,
    elements,
    expected_softmax,
    memory_after,
    rendered,
)

TYPES = {8: "<i1", 16: "<i2", 32: "<i4"}


def outputs(*specifications, device=MAX78000, pixels=(2, 3)):
    """Return a network with one output layer for each (width, channels, final scale)."""
    layers, weights = [], []
    for number, (width, channels, scale) in enumerate(specifications):
        last = number == len(specifications) - 1
        layers.append(
            {
                **{"op": "Conv2d", "pad": 1, "processors": 7, "in_sequences": -1, "in_offset": 0x1C00, "output": True},
                **{"out_offset": 0x400 * number, "output_processors": (1 << channels) - 1 << 8, "in_dim": list(pixels)},
                **({} if width == 8 else {"output_width": width}),
                **({} if last else {"next_sequence": number + 1}),
            }
        )
        weights.append(Weights((channels, 3, 3, 3), final_scale=scale))
    layers[0].pop("in_sequences")
    return build(layers, weights, (3, *pixels), device)


def filled(network):
    """Return data memory with extreme and random values in every output element, and the values by layer."""
    generator = np.random.default_rng(5)
    places, memory, values = iter(elements(network)), {}, []
    for layer in network.outputs():
        count = layer.channels_out * layer.out_size[0] * layer.out_size[1]
        low, high = (-128, 127) if layer.output_width == 8 else (-(2**31), 2**31 - 1)
        chosen = generator.integers(low, high + 1, count)
        chosen[:4] = [low, high, -1, 0][:count]
        values.append(chosen)
        for value, (address, lane) in zip(chosen.tolist(), places, strict=False):
            if lane is None:
                memory[address] = value & 0xFFFF_FFFF
            else:
                memory[address] = memory.get(address, 0) | (value & 0xFF) << 8 * lane
    return memory, values


def expected_buffer(network, values, *, scale_output=True):
    """Return the bytes of the buffer."""
    data = b""
    any_scale = any(layer.final_scale for layer in network.outputs())
    for layer, stored in zip(network.outputs(), values, strict=True):
        scale = layer.final_scale if scale_output else 0
        width = layer.output_width
        if width == 8 and scale:
            width = 16 if scale <= 8 else 32
        exact = [v << scale if scale >= 0 else v >> -scale for v in stored.tolist()]
        limited = np.clip(np.array(exact, object), -(2 ** (width - 1)), 2 ** (width - 1) - 1)
        assert width == 32 or (limited == exact).all()
        data += b"\0" * (-len(data) % 4 if any_scale else 0) + limited.astype(TYPES[width]).tobytes()
    return data


CASES = [
    *[((width, channels, scale),) for width in (8, 32) for channels in (1, 3, 4, 5) for scale in (-2, 0, 2)],
    ((8, 3, 8),),
    ((8, 3, 9),),
    ((8, 2, 30),),
    ((32, 3, 31),),
    ((32, 3, 40),),
    ((8, 3, -9),),
    ((32, 2, -40),),
    ((8, 1, 2), (8, 3, 0), (8, 5, -2)),
    ((8, 5, 2), (32, 3, 3)),
    ((32, 3, 2), (8, 5, 0)),
    ((32, 1, 0), (8, 3, -2), (32, 5, 1), (8, 1, 12)),
]


# Where values are not scaled, only that there is a scale makes a difference, not which.
UNSCALED = [case for case in CASES if len(case) > 1 or case[0][2] in (0, 2, -9, 31)]


@pytest.mark.parametrize(
    ("case", "scale_output"), [(case, True) for case in CASES] + [(case, False) for case in UNSCALED], ids=str
)
def test_unloaded_values(toolchain, case, scale_output):
    network = outputs(*case, pixels=(1, 3))
    lowered = program(network, DEFAULT, sample=random_sample(network.input_shape))
    memory, values = filled(network)
    files = rendered(lowered, scale_output=scale_output)
    result = toolchain.build(files)("unload", memory)
    assert result.returncode == 0
    expected = expected_buffer(network, values, scale_output=scale_output)
    assert result.stdout[: len(expected)] == expected
    assert len(result.stdout) == -(-len(expected) // 4) * 4
    numbers = dict(re.findall(r"#define (CNN_OUTPUT_\w+) \(?(-?\d+)\)?", files["cnn.h"]))
    if not any(scale for _, _, scale in case):
        assert numbers == {}
        return
    for number, (_, channels, scale) in enumerate(case):
        first = int(numbers[f"CNN_OUTPUT_{number}_WORD"])
        kind = np.dtype(TYPES[int(numbers[f"CNN_OUTPUT_{number}_BITS"])])
        count = int(numbers[f"CNN_OUTPUT_{number}_ELEMENTS"])
        assert count == channels * 3
        assert int(numbers[f"CNN_OUTPUT_{number}_SCALE"]) == scale
        found = np.frombuffer(result.stdout, kind, count, 4 * first).astype(np.int64)
        applied = scale if scale_output else 0
        exact = np.array([v * 2**applied if applied >= 0 else v >> -applied for v in values[number].tolist()], object)
        np.testing.assert_array_equal(found, np.clip(exact, np.iinfo(kind).min, np.iinfo(kind).max).astype(np.int64))


@DEVICES
@pytest.mark.parametrize(
    "options", [{}, {"mlator": True}, {"scale_output": False}, {"unload": False}, {"riscv": True}], ids=str
)
def test_compiles_without_warnings(toolchain, device, options):
    for case in [((8, 4, 2),), ((8, 4, 2), (8, 4, 0), (32, 3, 1)), ((32, 3, -1),)]:
        network = outputs(*case, device=device, pixels=(2, 4))
        toolchain.check(rendered(program(network, DEFAULT, sample=random_sample(network.input_shape)), **options))


def region(channels, size, width=8, scale=1):
    return OutputRegion((1 << min(64, channels)) - 1, channels, size, 0, width, 0, scale)


@pytest.mark.parametrize(
    ("regions", "scaled", "unscaled"),
    [
        ([region(8, (28, 21)), region(8, (7, 5)), region(4, (28, 21)), region(4, (7, 5))], 3738, 1869),
        ([region(3, (8, 8)), region(3, (8, 8))], 192, 96),
        ([region(3, (8, 8)), region(3, (8, 8), 32)], 288, 240),
        ([region(1, (33, 21))], 347, 174),
        ([region(21, (1, 1), 32)], 21, 21),
        ([region(21, (1, 1))], 11, 6),
    ],
)
def test_buffer_sizes(regions, scaled, unscaled):
    """Where all outputs have a scale, sizes are the reference's; no output overlaps another."""
    for scale_output, words in ((True, scaled), (False, unscaled)):
        placed = placements(tuple(regions), scale_output=scale_output)
        ends = [p.start + p.elements * p.width // 8 for p in placed]
        assert -(-ends[-1] // 4) == words
        assert all(p.start % 4 == 0 for p in placed)
        assert all(end <= following.start for end, (_, following) in zip(ends, pairwise(placed), strict=False))


def test_without_scales_nothing_is_padded():
    """A checkpoint without final scales keeps its layout: outputs follow each other."""
    placed = placements((region(3, (1, 1), scale=0), region(2, (1, 1), scale=0)), scale_output=True)
    assert [(p.start, p.width) for p in placed] == [(0, 8), (3, 8)]


def with_scale(network, scale):
    """Return the network with a final scale of its last layer."""
    layers = [
        replace(layer, parameters=replace(layer.parameters, final_scale=scale)) if layer is network.final else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


@pytest.mark.parametrize(
    ("width", "bits", "scale"), [(32, 8, 2), (32, 4, 1), (8, 8, 2), (8, 8, 9), (32, 8, -3), (8, 8, -1)]
)
def test_softmax_of_scaled_outputs(toolchain, width, bits, scale):
    """U5: the element type and number of the layer's own outputs."""
    network = with_scale(classifier(width=width, bits=bits, outputs=21), scale)
    lowered = program(network)
    run = toolchain.build(rendered(lowered, softmax=True))
    result = run("run", memory_after(lowered))
    text = result.stdout.decode()
    assert "*** PASS ***" in text
    signed = run_engine(network, random_sample(network.input_shape)[None]).last.reshape(-1).tolist()
    values = [v << scale if scale >= 0 else v >> -scale for v in signed]
    values = values if width == 32 else [128 * v for v in values]
    shift = 8 - bits if width == 32 else 0
    expected = zip(values, expected_softmax(values, shift), strict=True)
    for number, (value, share) in enumerate(expected):
        tenths = (1000 * share + 0x4000) >> 15
        assert f"[{value << shift:7d}] -> Class {number}: {tenths // 10}.{tenths % 10}%" in text


def synthesized(network, console, **options):
    project = ProjectOptions("test", "net.yaml", "net.pth.tar", **options)
    return networks.synthesized(network, random_sample(network.input_shape), project, SynthesisOptions(), console)


class Notes(Console):
    """A console that keeps what it says."""

    def info(self, text):
        self.notes = [*getattr(self, "notes", []), text]


def test_messages():
    for case, options, warned, noted in [
        (((8, 3, 2),), {"scale_output": False}, "layer 0: 2", ""),
        (((8, 3, 0),), {}, "", "all final scales are 0"),
        (((8, 3, None),), {}, "", ""),
        (((8, 3, 2),), {}, "", ""),
        (((8, 3, 0),), {"unload": False}, "", ""),
    ]:
        console = Notes(verbosity=-1)
        files = synthesized(outputs(*case), console, **options).files
        about = [w for w in console.warnings if "scale" in w]
        notes = [n for n in getattr(console, "notes", []) if "scale" in n]
        assert bool(about) == bool(warned)
        assert all(warned in w for w in about)
        assert bool(notes) == bool(noted)
        assert all(noted in n for n in notes)
        assert ("Final Scales: layer 0: 2" in files["cnn.c"]) == (case[0][2] == 2)


def test_a_scale_inside_the_network_is_reported_and_not_applied():
    """Some checkpoints have a final scale at layers that are no outputs."""
    layers = [
        {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x400},
        {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x800},
    ]
    weights = [Weights((3, 3, 3, 3), final_scale=6), Weights((2, 3, 3, 3), final_scale=0)]
    console = Notes(verbosity=-1)
    result = synthesized(build(layers, weights, (3, 4, 4)), console)
    assert any("layer 0" in w and "not an output" in w for w in console.warnings)
    assert "unload_entry" not in result.files["cnn.c"]


def test_the_program_does_not_depend_on_the_scale():
    """Registers, memories and known answers are the same."""
    network = classifier()
    one, two = program(network), program(with_scale(network, 5))
    first, second = one.stores(), two.stores()
    for name in ("addresses", "values", "sizes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert [b.values.tolist() for b in one.answers] == [b.values.tolist() for b in two.answers]


def test_scales_of_listed_items(toolchain):
    """U7: an item has the scale of the output layer at its place, none elsewhere."""
    unload = [
        {"processors": 0xF0, "channels": 4, "dim": [2, 2], "offset": 0x100},
        {"processors": 0x0F, "channels": 3, "dim": 1, "offset": 0x200, "width": 32},
    ]
    layer = {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x100, "output_processors": 0xF0}
    network = build([layer], [Weights((4, 3, 3, 3), final_scale=3)], (3, 2, 2), unload=unload)
    console = Notes(verbosity=-1)
    run = toolchain.build(synthesized(network, console).files)
    assert any("offset 0x200" in note for note in console.notes)
    first = {MAX78000.instance(4) + 0x100 + 4 * i: 0x80FF_7F01 for i in range(4)}
    second = {MAX78000.instance(0) + 0x200 + 4 * i: 0xFFFF_FFF0 + i for i in range(3)}
    expected = np.repeat([1 * 8, 127 * 8, -1 * 8, -128 * 8], 4).astype("<i2").tobytes()
    expected += np.array([-16, -15, -14], "<i4").tobytes()
    assert run("unload", first | second).stdout == expected


@pytest.mark.parametrize("last", ["passthrough", "sum", "pooling"])
def test_an_output_without_weights_is_not_scaled(toolchain, last):
    """Such layers have F = 0; that of a layer inside the network is named."""
    conv = {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x400}
    final = {"op": "none", "processors": 7, "out_offset": 0x800, "in_offset": 0x400}
    if last == "sum":
        final |= {"eltwise": "add", "operands": 2, "in_offset": 0x400, "in_sequences": [0, 1]}
        layers = [{**conv, "write_gap": 1}, {**conv, "out_offset": 0x404, "write_gap": 1, "in_sequences": -1}, final]
        layers[1] |= {"in_offset": 0, "in_dim": [4, 4]}
    else:
        layers = [conv, {**final, "max_pool": 2, "pool_stride": 2} if last == "pooling" else final]
    weights = [Weights((3, 3, 3, 3), final_scale=3) for _ in layers[1:]]
    network = build(layers, weights, (3, 4, 4))
    assert network.final.final_scale == 0
    console = Notes(verbosity=-1)
    result = synthesized(network, console)
    assert any("layer 0" in w and "not an output" in w for w in console.warnings)
    memory, values = filled(network)
    expected = values[0].astype(np.int8).tobytes()
    assert toolchain.build(result.files)("unload", memory).stdout[: len(expected)] == expected
