"""Small networks for tests: layers as dictionaries of YAML keys, weights as arrays, no checkpoint files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.engine import run
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.resolve import PlacedDescription, ResolveOptions, resolve
from ai8x_tool.lowering import LoweringOptions, Program, ProgramSample, lower, lower_sample
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.check import layer_violations
from ai8x_tool.mapping.check_data import data_violations, result_violations
from ai8x_tool.mapping.mapping import build_mapping
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.layer import Parameters
from ai8x_tool.network.network import Network
from ai8x_tool.rule import report
from ai8x_tool.synthesis.hardware_check import check_program
from ai8x_tool.synthesis.synthesize import synthesize_placed

RESOLVE, MAPPING, LOWERING = ResolveOptions(), MappingOptions(), LoweringOptions()
QUIET = Console(verbosity=-1)
QUIET.warn = lambda text, kind=None: None


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


def yaml_text(content):
    """Return a YAML document; the writer in C, where it is installed, takes a tenth of the time."""
    return yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)


def describe(layers, device=MAX78000, console=QUIET, **top):
    """Return the parsed description of `layers`."""
    content = {"arch": "test_net", "dataset": "none", **top, "layers": layers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.yaml"
        path.write_text(yaml_text(content))
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


@dataclass(frozen=True)
class BuiltNetwork(Network):
    """A network with its placement and device, as built from a description."""

    placement: Placement | None = None
    device: object = MAX78000

    @property
    def start(self):
        return self[self.placement.start]

    @property
    def final(self):
        return self[self.placement.final]

    @property
    def order(self):
        return tuple(self[name].index for name in self.placement.order)

    @property
    def simulated(self):
        return self.placement.simulated or self.placement.order

    def place(self, index):
        """Return the placement of the layer `index`."""
        return self.placement.layers[self[index].name]


def with_placement(described, device):
    """Return network and placement of a description as one value."""
    values = {name: value for name, value in vars(described.network).items() if not name.startswith("_")}
    return BuiltNetwork(**values, placement=described.placement, device=device)


def build(layers, weights, shape, device=MAX78000, options=RESOLVE, console=QUIET, **top):
    """Return the network, with its placement."""
    description = describe(layers, device, console, **top)
    described = resolve(description, parameters(description, weights), shape, device, console, options)
    return with_placement(described, device)


def mapped(network, options=MAPPING):
    """Return the mapping of a built network, which may break rules about layers and data memory."""
    return build_mapping(place(network, network.placement, network.device, options))


def random_sample(shape, seed=1):
    """Return an input of `shape` (channels, rows, columns)."""
    return np.random.default_rng(seed).integers(-128, 128, shape)


@dataclass(frozen=True, eq=False)
class SampledProgram:
    """A program with a sample; attributes are those of both."""

    program: Program
    sample: ProgramSample

    def stores(self):
        return self.program.stores(self.sample)

    def __getattr__(self, name):
        return getattr(self.sample if name in ("inputs", "answers") else self.program, name)


def program(network, mapping=MAPPING, lowering=LOWERING, sample=None):
    """Return the program of `network` for a random sample."""
    start = network.start
    if sample is None:
        sample = random_sample(network.input_shape)
    assert sample.shape[0] == start.channels_in * start.operands
    tensors = run(network, sample[None], network.simulated)
    lowered = lower(mapped(network, mapping), lowering)
    return SampledProgram(lowered, lower_sample(lowered, sample, tensors))


def sampled(mapping, lowering, sample, tensors):
    """Return the program of a mapping, with a sample and what the engine computes from it."""
    lowered = lower(mapping, lowering)
    return SampledProgram(lowered, lower_sample(lowered, sample, tensors))


def examined(network, console, options=MAPPING, *, accept_wrong_data=False, data=True):
    """Judge a built network: raise the first error, report everything else to `console`.

    `data` False leaves out memories; `accept_wrong_data` reports what is wrong with data memory.
    """
    placed = place(network, network.placement, network.device, options)
    found = [(False, violation) for violation in layer_violations(placed)]
    found += [(True, violation) for violation in (data_violations if data else result_violations)(placed)]
    for is_data, violation in found:
        if violation.severity == "error" and not (is_data and accept_wrong_data):
            raise violation.error()
        report(violation, console)


def synthesized(network, sample, project, options, console):
    """Return the project of a built network, as ``ai8x synthesize`` makes it."""
    described = PlacedDescription(network, network.placement)
    return synthesize_placed(described, sample, network.device, project, options, console)


def changed(program, **values):
    """Return a sampled program with other values of the program."""
    return replace(program, program=replace(program.program, **values))


def checked(program, tensors, **keys):
    """Compare a sampled program on the virtual device with the engine."""
    return check_program(program.program, program.sample, tensors, **keys)
