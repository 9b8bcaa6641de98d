"""Placements that are found for small networks: no rule objects, and the program computes what the engine does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import lower, lower_sample
from ai8x_tool.mapper import UnmappableError, map_automatically
from ai8x_tool.mapper.paths import InputPath
from ai8x_tool.mapping import map_network, violations
from ai8x_tool.network import INPUT, Layer, Parameters, build_network
from ai8x_tool.synthesis.hardware_check import check_program

DEVICES = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


def weights(*shape):
    generator = np.random.default_rng(shape)
    return Parameters("w", generator.integers(-128, 128, shape), None, 8, -2)


def conv(name, inputs, outputs, channels, size=3, **keys):
    """Return a convolution from `channels` to `outputs` channels."""
    kernel = {"kernel": (size, size), "pad": (size // 2, size // 2), "activation": "relu"}
    return Layer(name, inputs, "conv2d", parameters=weights(outputs, channels, size, size), **{**kernel, **keys})


def add(name, *inputs):
    return Layer(name, inputs, "none", eltwise="add", operands=len(inputs))


def network(*layers, shape=(3, 16, 16)):
    return build_network("small", shape, list(layers))


def verified(found, device):
    """Assert that a placement is right, and return the number of copies."""
    assert violations(found.network, found.placement, device, found.options) == []
    program = lower(map_network(found.network, found.placement, device, found.options))
    sample = np.random.default_rng(3).integers(-128, 128, found.network.input_shape)
    tensors = run(found.network, sample[None])
    assert check_program(program, lower_sample(program, sample, tensors), tensors).equal
    return len(found.copies)


CHAIN = [conv("a", (INPUT,), 8, 3), conv("b", ("a",), 16, 8, pool=(2, 2), pool_stride=(2, 2))]
RESIDUAL = [*CHAIN[:1], conv("b", ("a",), 8, 8), add("sum", "a", "b"), conv("c", ("sum",), 4, 8)]
BRANCHES = [*CHAIN[:1], conv("b", ("a",), 8, 8), conv("c", ("a",), 8, 8), add("sum", "b", "c")]
JOINED = [*CHAIN[:1], conv("b", ("a",), 12, 8), conv("c", ("a",), 8, 8), conv("d", ("b", "c"), 4, 20)]
PASSES = [conv("a", (INPUT,), 64, 3), conv("b", (INPUT,), 64, 3), conv("c", ("a", "b"), 8, 128)]
TWICE = [*CHAIN[:1], add("double", "a", "a")]
THREE = [*CHAIN[:1], *(conv(n, ("a",), 8, 8) for n in "bcd"), add("sum", "b", "c", "d")]


@DEVICES
@pytest.mark.parametrize(
    ("layers", "copies"),
    [
        (CHAIN, (0, 0)),
        (RESIDUAL, (1, 0)),  # the MAX78002 can leave gaps out when it reads
        (BRANCHES, (0, 0)),
        (JOINED, (0, 0)),
        (PASSES, (0, 0)),
        (TWICE, (2, 1)),
        (THREE, (0, 0)),
    ],
    ids=["chain", "residual", "branches", "joined", "passes", "twice", "three operands"],
)
def test_network(device, layers, copies):
    found = map_automatically(network(*layers), device)
    assert verified(found, device) == copies[device is MAX78002]


@DEVICES
def test_the_result_is_the_same_each_time(device):
    first, second = (map_automatically(network(*RESIDUAL), device) for _ in range(2))
    assert (first.network, first.placement) == (second.network, second.placement)


@DEVICES
def test_memory_that_is_just_enough(device):
    """The peak is proven where it is the bound; a memory of that size suffices, four bytes less do not."""
    found = map_automatically(network(*RESIDUAL), device)
    assert found.peak == found.peak_bound
    path = InputPath()
    exact = replace(device, instance_size=found.peak)
    assert verified(map_automatically(network(*RESIDUAL), exact, path=path), exact) == len(found.copies)
    smaller = replace(device, instance_size=found.peak - 4)
    with pytest.raises(UnmappableError, match=r"data memory: .* 4 bytes too many") as raised:
        map_automatically(network(*RESIDUAL), smaller, path=path, overlap=False)
    assert raised.value.shortage.needed - raised.value.shortage.available == 4
    try:
        trailing = map_automatically(network(*RESIDUAL), smaller, path=path)
    except UnmappableError:
        return  # the fullest moment is one at which nothing can be overwritten
    assert trailing.trailing
    assert trailing.options.overlap_data
    verified(trailing, smaller)


def test_input_that_streams_because_it_does_not_fit():
    layers = [conv("a", (INPUT,), 8, 3), conv("b", ("a",), 8, 8, pool=(4, 4), pool_stride=(4, 4))]
    found = map_automatically(network(*layers, shape=(3, 120, 120)), MAX78000)
    assert found.path.fifo
    assert found.path.streams == 2
    verified(found, MAX78000)


def test_kernels_that_do_not_fit():
    layers = [conv("a", (INPUT,), 1024, 3), conv("b", ("a",), 1024, 1024)]
    with pytest.raises(Ai8xError, match=r"kernel memory: all layers need .* too many"):
        map_automatically(network(*layers, shape=(3, 4, 4)), MAX78000)


def test_values_that_cannot_be_joined():
    layers = [conv("a", (INPUT,), 6, 3), conv("b", (INPUT,), 8, 3), conv("c", ("a", "b"), 4, 14)]
    with pytest.raises(Ai8xError, match="a multiple of 4 channels"):
        map_automatically(network(*layers), MAX78000)


@DEVICES
def test_values_tied_by_several_readers(device):
    """Values that two layers read with others would need 80 processors side by side: one of them is moved."""
    layers = (
        *(conv("a", (INPUT,), 1, 20, size=1), conv("b", ("a", INPUT), 1, 21, size=1, output=True)),
        *(Layer("c", (INPUT,), "none"), conv("d", (INPUT, "a", "c"), 8, 41, size=1)),
    )
    tied = network(*layers, shape=(20, 8, 8))
    verified(map_automatically(tied, device, moves=True), device)


def residual_network(size):
    """Return the first levels of a residual network; three values of 20 channels live at a time."""
    half = {"pool": (2, 2), "pool_stride": (2, 2)}
    layers = [
        conv("a", (INPUT,), 16, 3),
        conv("b", ("a",), 20, 16),
        conv("c", ("b",), 20, 20),
        conv("d", ("c",), 20, 20),
    ]
    layers += [add("sum", "d", "b"), conv("e", ("sum",), 20, 20, **half)]
    return network(*layers, shape=(3, size, size))


def test_residual_networks_of_growing_size():
    """Copies are late, unless memory is full: then early enough to overwrite what they copy."""
    found = map_automatically(residual_network(48), MAX78000)
    assert [layer.name for layer in found.network.layers].index("sum_operand1") == 4
    assert not found.trailing
    assert verified(found, MAX78000) == 1
    with pytest.raises(UnmappableError, match="data memory"):
        map_automatically(residual_network(56), MAX78000, overlap=False)
    found = map_automatically(residual_network(56), MAX78000)
    assert [layer.name for layer in found.network.layers].index("sum_operand1") == 3
    assert found.trailing
    assert verified(found, MAX78000) == 1


def test_deep_network():
    """Places are found for all values of many blocks, and proven to be the best ones."""
    layers, before = [conv("a", (INPUT,), 16, 3)], "a"
    for number in range(23):
        layers += [conv(f"b{number}", (before,), 32, 16, size=1), conv(f"c{number}", (f"b{number}",), 16, 32, size=1)]
        layers.append(add(f"sum{number}", before, f"c{number}"))
        before = f"sum{number}"
    found = map_automatically(network(*layers, shape=(3, 32, 32)), MAX78002)
    assert len(found.network.layers) == 70
    assert found.peak == found.peak_bound
    assert violations(found.network, found.placement, MAX78002, found.options) == []


def test_swapped_processors():
    """Where the values of two layers lie makes no difference: a placement with both exchanged computes the same."""
    layers = [conv("a", (INPUT,), 8, 3), conv("b", ("a",), 8, 8), conv("c", ("b",), 4, 8)]
    found = map_automatically(network(*layers), MAX78002)
    placed = found.placement
    one, other = (placed.layers[name].output_processors for name in ("a", "b"))
    assert one != other
    swap = {one: other, other: one}
    moved = {
        name: replace(
            at,
            processors=swap.get(at.processors, at.processors),
            output_processors=swap.get(at.output_processors, at.output_processors),
        )
        for name, at in placed.layers.items()
    }
    assert verified(replace(found, placement=replace(placed, layers=moved)), MAX78002) == 0


@DEVICES
def test_four_outputs_at_a_time(device):
    layers = [conv("a", (INPUT,), 16, 3), conv("b", ("a",), 16, 16), conv("c", ("b",), 5, 16)]
    found = map_automatically(network(*layers), device, parallel=True)
    assert found.parallel == (("a", "b") if device is MAX78002 else ())
    assert [name for name, at in found.placement.layers.items() if at.calcx4] == list(found.parallel)
    assert verified(found, device) == 0


def test_four_outputs_at_a_time_where_other_layers_leave_room():
    layers = [conv("a", (INPUT,), 16, 3), conv("b", ("a",), 16, 16, size=1), conv("c", ("b",), 32, 16)]
    found = map_automatically(network(*layers), MAX78002, parallel=True)
    assert "b" not in found.parallel
    assert verified(found, MAX78002) == 0


def test_branches_in_another_order():
    """Three wide branches, side by side in the list, need not live at the same time."""
    wide = [conv(f"wide{n}", ("a",), 64, 8) for n in range(3)]
    narrow = [conv(f"narrow{n}", (f"wide{n}",), 8, 64, pool=(4, 4), pool_stride=(4, 4)) for n in range(3)]
    layers = [conv("a", (INPUT,), 8, 3), *wide, *narrow, add("sum", "narrow0", "narrow1", "narrow2")]
    small = replace(MAX78000, instance_size=4 * 16 * 16 * 5 // 2)
    path = InputPath()
    with pytest.raises(UnmappableError, match="data memory"):
        map_automatically(network(*layers), small, path=path)
    found = map_automatically(network(*layers), small, path=path, moves=True)
    order = [layer.name for layer in found.network.layers]
    assert order.index("narrow0") < order.index("wide1") < order.index("narrow1") < order.index("wide2")
    verified(found, small)
