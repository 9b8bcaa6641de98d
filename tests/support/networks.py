"""Small networks for tests: layers as dictionaries of YAML keys, weights as arrays, no checkpoint files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.engine import run
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.resolve import ResolveOptions, resolve
from ai8x_tool.lowering import LoweringOptions, lower
from ai8x_tool.mapping import MappingOptions, map_network
from ai8x_tool.network.network import Parameters

RESOLVE, MAPPING, LOWERING = ResolveOptions(), MappingOptions(), LoweringOptions()
QUIET = Console(verbosity=-1)
QUIET.warn = lambda text: None


@dataclass(frozen=True, eq=False)
class Weights:
    """Parameters of one layer: `kernels` is (out, in/groups, rows, columns) or such a shape."""

    kernels: object
    bias: object = None
    bits: int = 8
    shift: int = 0
    final_scale: int | None = None


def random_kernels(shape, bits=8, seed=0):
    """Return integer kernels of `shape` over the whole range of `bits`."""
    generator = np.random.default_rng([seed, *shape])
    if bits == -1:
        return generator.integers(0, 2, shape) * 2 - 1
    return generator.integers(-(1 << bits - 1), 1 << bits - 1, shape)


def describe(layers, device=MAX78000, console=QUIET, **top):
    """Return the parsed description of `layers`."""
    content = {"arch": "test_net", "dataset": "none", **top, "layers": layers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return read_description(path, device, console)


def parameters(description, weights):
    """Return `weights` by layer index, in the order of the layers that take some."""
    takers = [layer for layer in description.layers if layer.takes_parameters]
    result = {}
    for layer, entry in zip(takers, weights, strict=True):
        given = entry if isinstance(entry, Weights) else Weights(entry)
        kernels = given.kernels
        if isinstance(kernels, tuple):
            kernels = random_kernels(kernels, given.bits, layer.index)
        bias = None if given.bias is None else np.asarray(given.bias, np.int64)
        array = np.asarray(kernels, np.int64)
        name = f"layer{layer.index}.op.weight"
        result[layer.index] = Parameters(name, array, bias, given.bits, given.shift, given.final_scale)
    return result


def build(layers, weights, shape, device=MAX78000, options=RESOLVE, console=QUIET, **top):
    """Return the resolved network."""
    description = describe(layers, device, console, **top)
    return resolve(description, parameters(description, weights), shape, device, console, options)


def random_sample(shape, seed=1):
    """Return an input of `shape` (channels, rows, columns)."""
    return np.random.default_rng(seed).integers(-128, 128, shape)


def program(network, mapping=MAPPING, lowering=LOWERING, sample=None):
    """Return the program of `network` for a random sample."""
    start = network.start
    if sample is None:
        sample = random_sample(network.input_shape)
    assert sample.shape[0] == start.channels_in * start.operands
    tensors = run(network, sample[None])
    return lower(map_network(network, mapping), lowering, sample, tensors)
