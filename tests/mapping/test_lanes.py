"""Maps with holes, or that begin in the midst of four processors: rules and replay agree on which of them are wrong."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import lower
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.check import layer_violations
from ai8x_tool.mapping.mapping import build_mapping, raise_first
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.replay import replay
from ai8x_tool.network.sizes import processors_per_pass
from tests.support.networks import LOWERING, Weights, build, checked, random_kernels, random_sample, sampled
from tests.support.warned_networks import warned

COUNT = int(os.environ.get("AI8X_RANDOM_PLACEMENTS", "40"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
INPUTS, OUTPUTS = (1, 2, 3, 4, 8, 16, 60, 70, 72, 128, 130), (1, 2, 3, 4, 5, 8, 12, 16, 33, 64, 70, 72, 100)


def drawn_map(generator, count):
    """Return a map of so many processors: in one piece, aligned or not, or with holes."""
    kind = generator.integers(3)
    if kind == 0:
        return (1 << count) - 1 << int(generator.integers(65 - count))
    if kind == 1:
        return (1 << count) - 1 << 4 * int(generator.integers((64 - count) // 4 + 1))
    return sum(1 << int(p) for p in generator.choice(min(64, count + 6), count, replace=False))


def pick(generator, values):
    return values[generator.integers(len(values))]


def summing(generator):
    """Return (keys, weights' shape, sample's shape) of a convolution or linear layer."""
    inputs, outputs = pick(generator, INPUTS), pick(generator, OUTPUTS)
    operator = pick(generator, ("Conv2d", "Conv1d", "ConvTranspose2d", "Linear", "flatten"))
    keys, kernel, size = {"op": operator, "pad": 0}, (1, 1), (4, 4)
    if operator == "Conv2d":
        kernel = pick(generator, ((1, 1), (3, 3)))
        keys["kernel_size"] = f"{kernel[0]}x{kernel[1]}"
    elif operator == "Conv1d":
        kernel, size = (int(generator.integers(1, 10)), 1), (12, 1)
        keys["kernel_size"] = kernel[0]
    elif operator == "ConvTranspose2d":
        kernel, keys["pad"] = (3, 3), 1
    else:
        size = (2, int(generator.integers(1, 4))) if operator == "flatten" else (1, 1)
        keys = {"op": "Linear", "flatten": operator == "flatten"}
    keys |= {"processors": (1 << processors_per_pass(inputs)) - 1}
    keys |= {"output_processors": drawn_map(generator, processors_per_pass(outputs))}
    joined = inputs * size[0] * size[1] if operator == "flatten" else inputs
    return keys, (outputs, joined, *kernel), (inputs, *size)


def depthwise(generator):
    channels, kernel = pick(generator, INPUTS[1:]), pick(generator, (1, 3))
    source = drawn_map(generator, processors_per_pass(channels))
    target = source if generator.integers(3) == 0 else drawn_map(generator, processors_per_pass(channels))
    keys = {"op": "Conv2d", "groups": channels, "kernel_size": f"{kernel}x{kernel}", "pad": kernel // 2}
    keys |= {"processors": source, "output_processors": target}
    return keys, (channels, 1, kernel, kernel), (channels, 4, 5)


def compare(generator, number, draw, device, counts):
    """Compare rule, replay and execution of one layer."""
    keys, shape, sample_shape = draw(generator)
    bits = pick(generator, (8, 4, 2, 1)) if draw is summing else 8
    bias = generator.integers(-128, 128, shape[0]) if generator.integers(2) else None
    weights = Weights(random_kernels(shape, bits, number), bias, bits, -5)
    try:
        network = build([{**keys, "out_offset": 0x4000, "activate": "None"}], [weights], sample_shape, device)
        placed = place(network, network.placement, device, MappingOptions())
        raise_first(layer_violations(placed, errors_only=True))
        mapping = build_mapping(placed)
        lower(mapping, LOWERING)
    except Ai8xError:
        counts["refused otherwise"] += 1
        return
    sample = random_sample(sample_shape)
    tensors = run(network, sample[None])
    differs = not checked(sampled(mapping, LOWERING, sample, tensors), tensors).equal
    conflict = bool(replay(mapping))
    assert conflict or not differs, (number, keys)
    assert warned(placed) or not conflict, (number, keys)
    counts["conflict" if conflict else "refused, but kernels are equal" if warned(placed) else "right"] += 1


def test_lanes():
    counts = Counter()
    for number in range(SEED, SEED + 2 * COUNT):
        generator = np.random.default_rng([number, 3])
        compare(generator, number, summing, pick(generator, (MAX78000, MAX78002)), counts)
        compare(generator, number, depthwise, MAX78002, counts)
    print(dict(counts))
    assert min(counts["conflict"], counts["right"]) > 0.4 * COUNT
    assert counts["refused, but kernels are equal"] <= 0.02 * COUNT
