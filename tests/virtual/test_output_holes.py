"""Output maps with holes: the rule refuses exactly the programs that do not compute what the network does."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.placed import place
from tests.support.networks import (
    LOWERING,
    MAPPING,
    Weights,
    build,
    checked,
    mapped,
    random_kernels,
    random_sample,
    sampled,
)
from tests.support.warned_networks import warned

MAPS = (0x5, 0x11, 0x1111, 0x33, 0xF0F, 0xFF00FF, 0xF00F, 0x30F0, 0x1D, 0x66, 0x10001, 0x77)
KERNELS = (("Conv2d", 3), ("Conv2d", 1), ("Conv1d", 3), ("Conv1d", 9), ("ConvTranspose2d", 3), ("Linear", 1))


def network(processors, operator, length, bits, *, biased=False, channels=4, outputs=0, device=MAX78000, **keys):
    """Return a layer of 32-bit outputs, which hide nothing, and a sample for it."""
    outputs = outputs or processors.bit_count()
    area = (length, 1 if operator == "Conv1d" else length)
    size = {"Conv1d": (12, 1), "Linear": keys.pop("size", (1, 1))}.get(operator, (4, 4))
    layer = {"op": operator, "processors": (1 << channels) - 1, "output_processors": processors, "activate": "None"}
    layer |= {"out_offset": 0x4000, "output_width": 32, **keys}
    if operator != "Linear":
        layer |= {"kernel_size": length if operator == "Conv1d" else f"{length}x{length}"}
        layer |= {"pad": 0 if operator == "Conv1d" else length // 2}
    inputs = channels * size[0] * size[1] if operator == "Linear" else channels
    bias = np.arange(outputs) * 5 - 17 if biased else None
    weights = Weights(random_kernels((outputs, inputs, *area), bits), bias, bits)
    return build([layer], [weights], (channels, *size), device)


def refused(net):
    return warned(place(net, net.placement, net.device, MappingOptions()))


def differs(net):
    sample = random_sample(net.input_shape)
    tensors = run(net, sample[None])
    return not checked(sampled(mapped(net, MAPPING), LOWERING, sample, tensors), tensors).equal


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize(("operator", "length"), KERNELS)
def test_holes(operator, length, bits):
    """A kernel of nine weights takes one column, as much as the stream leaves for an unused output."""
    results = set()
    for processors in MAPS:
        for biased in (False, True):
            net = network(processors, operator, length, bits, biased=biased)
            assert refused(net) == differs(net), (hex(processors), biased)
            results.add(refused(net))
    nine = length == 9 or length * (operator != "Conv1d") == 3
    assert results == ({True, False} if nine else {True})


@pytest.mark.parametrize("bits", [8, 4, 1])
@pytest.mark.parametrize("processors", [0xFFFFFFF00FF, 0x3FFFF3FFFF])
@pytest.mark.parametrize("outputs", [70, 72])
def test_several_output_passes(processors, outputs, bits):
    net = network(processors, "Conv2d", 3, bits, outputs=outputs)
    assert refused(net) == differs(net) == (bits == 1)


@pytest.mark.parametrize("size", [(3, 3), (2, 3)])
def test_flatten(size):
    """Nine pixels of 8 bits take a column, too."""
    net = network(0x1111, "Linear", 1, 8, flatten=True, size=size)
    assert refused(net) == differs(net) == (size != (3, 3))


def test_input_passes():
    net = network(0x33, "Conv2d", 3, 8, channels=36)
    assert not refused(net)
    layer = {"op": "Conv2d", "processors": (1 << 36) - 1, "output_processors": 0x33, "out_offset": 0x4000, "pad": 1}
    net = build([{**layer, "output_width": 32}], [(4, 72, 3, 3)], (72, 4, 4))
    assert refused(net)
    assert differs(net)


@pytest.mark.parametrize("processors", [0xF, 0xFF, 0xF0, 0x1E])
def test_maps_without_holes(processors):
    assert not refused(network(processors, "Conv2d", 1, 8, biased=True))
    assert not differs(network(processors, "Conv2d", 1, 8, biased=True, device=MAX78002))


def test_a_sample_can_hide_it():
    """Where the engine's outputs are 0, the program that reads zeros instead of kernels seems right."""
    layer = {"op": "Linear", "processors": 0xF, "output_processors": 0x1111, "out_offset": 0x4000, "activate": "ReLU"}
    kernels = -np.ones((4, 4, 1, 1), np.int64)
    net = build([layer], [kernels], (4, 1, 1))
    assert refused(net)
    for value, wrong in ((127, False), (-128, True)):
        sample = np.full((4, 1, 1), value)
        tensors = run(net, sample[None])
        assert checked(sampled(mapped(net, MAPPING), LOWERING, sample, tensors), tensors).equal != wrong
