"""Small networks that break a rule, by the stage that notices."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.array_parameters import load_test_parameters
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions, load_parameters
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from ai8x_tool.lowering.options import LoweringOptions
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.kernel_allocation import KernelAllocation, KernelRequest
from ai8x_tool.mapping.kernel_stream import StreamShape
from ai8x_tool.network.network import build_network
from ai8x_tool.report.rule_catalogue import CATALOGUE
from ai8x_tool.rule import rule_kind, rule_text
from ai8x_tool.synthesis.synthesize import SynthesisOptions
from tests.support.networks import build, describe, mapped, random_kernels, random_sample, synthesized

TESTED = {
    "descriptions": ("Layers and references", "Keys of a layer", "Weights and biases", "Order and references"),
    "networks": ("Network", "Network on a device"),
    "layers": ("Order and formats", "Device and input", "Allocation", "Results", "Several sources"),
    "memories": ("Dilation", "Streaming", "Kernel and bias memory", "Data memory"),
    "programs": ("Sample", "Program"),
}
"""Phases of the catalogue, by the test module that breaks each of their rules."""
RULES = {rule.__name__: rule for phase in CATALOGUE for rule in phase.rules}


def rules_tested(module):
    """Return the names of the rules that a test module breaks."""
    return {rule.__name__ for phase in CATALOGUE if phase.title in TESTED[module] for rule in phase.rules}


@dataclass(frozen=True)
class Case:
    """`run` breaks the rule; the message has `words`, and `where` or else line and layer of the description."""

    run: Callable[[Console], Any]
    words: str = ""
    where: str = ""


def each_case(cases):
    """Return the parameters (name, case) of all `cases`, lists by the name of their rule."""
    return [pytest.param(name, case, id=f"{name} {i}") for name, found in cases.items() for i, case in enumerate(found)]


def check_message(name, case, capsys):
    """Run a case; its one message is that of the rule, and says where."""
    console, rule = Console(verbosity=1), RULES[name]
    if rule_kind(rule) == "constraint":
        with pytest.raises(Ai8xError) as caught:
            case.run(console)
        found = [str(caught.value)]
        assert "\n" not in found[0]
    else:
        case.run(console)
        found = console.warnings if rule_kind(rule) == "caution" else capsys.readouterr().err.splitlines()
    (message,) = [line for line in found if rule_text(rule) in line]
    assert case.words in message
    place = r"net\.yaml:\d+: (layer \d|unload item|data_buffer|network description)"
    assert case.where in message if case.where else re.search(place, message)


def conv(processors=7, **keys):
    return {"op": "Conv2d", "pad": 1, "activate": "none", "out_offset": 0, "processors": processors, **keys}


def point(processors, **keys):
    return conv(processors, **{"kernel_size": "1x1", "pad": 0, **keys})


def conv1(length=3, **keys):
    return {"op": "Conv1d", "kernel_size": length, "pad": 0, "out_offset": 0, "processors": 7, **keys}


def passing(processors=7, **keys):
    return {"op": "none", "processors": processors, "out_offset": 0, "output_processors": processors, **keys}


def read(*layers, device=MAX78000, words="", **top):
    """Return a case that only reads the description of `layers`."""
    return Case(lambda console: describe(list(layers), device, console, **top), words)


def loads(kernels=(4, 3, 3, 3), *, layer=None, words="", extra=None, arch="test_net", options=None, bias=None, bits=8):
    """Return a case that loads one tensor of a checkpoint (a shape or an array) for one layer."""

    def run(console):
        array = random_kernels(kernels) if isinstance(kernels, tuple) else np.asarray(kernels)
        state = {"c.weight_bits": np.array([bits]), "c.op.weight": array, **(extra or {})}
        if bias is not None:
            state["c.op.bias"] = np.asarray(bias)
        checkpoint = Checkpoint(Path("q.pth.tar"), state, 1, arch, {}, {})
        description = describe([layer or conv()], MAX78002)
        load_parameters(description, checkpoint, MAX78002, console, options or ParameterOptions())

    return Case(run, words, "q.pth.tar")


def arrays(values, words=""):
    """Return a case that loads the weights of a hand-made network from a file."""

    def run(console):
        path = Path("weights.npy")
        np.save(path, values)
        load_test_parameters(describe([conv()]), path, None)

    return Case(run, words, "weights.npy")


def resolves(layers, weights=(), shape=(3, 8, 8), device=MAX78000, words="", where="", **options):
    chosen = ResolveOptions(**options)
    return Case(lambda console: build(layers, list(weights), shape, device, chosen, console=console), words, where)


def builds(*layers, words="", where="layer 0", shape=(3, 8, 8), buffer=None):
    """Return a case that builds a network of `layers` without a description."""
    return Case(lambda console: build_network("net", shape, layers, buffer=buffer), words, where)


def maps(layers, weights=(), shape=(3, 8, 8), device=MAX78000, words="", **options):
    return Case(lambda console: mapped(build(layers, list(weights), shape, device), MappingOptions(**options)), words)


def makes(
    layers,
    weights=(),
    shape=(3, 8, 8),
    device=MAX78000,
    words="",
    fifo=False,
    sample=None,
    lowering=None,
    project=None,
    **top,
):
    """Return a case that generates the whole project; the sample has `shape` unless given."""

    def run(console):
        network = build(layers, list(weights), shape, device, console=console, **top)
        options = SynthesisOptions(mapping=MappingOptions(fifo=fifo), lowering=lowering or LoweringOptions())
        data = random_sample(shape) if sample is None else sample
        synthesized(network, data, ProjectOptions("a", "b", "c", **(project or {})), options, console)

    return Case(run, words)


def stores(processor, outputs, weights, words="", **keys):
    """Return a case that places kernels (out, in, 3, 3) in one processor of the MAX78002.

    `flags` are those of the request, `reserved` and `stored` are the columns that the processor has no more, as bits.
    """

    def run(console):
        count, inputs = weights[:2]
        shape = StreamShape(
            output_map=outputs,
            inputs=inputs,
            outputs=count,
            input_passes=1,
            output_passes=1,
            inputs_per_pass=inputs,
            outputs_per_pass=count,
            area=9,
            bits=8,
            pixels=1,
            flatten=False,
            depthwise=False,
        )
        memory = KernelAllocation(MAX78002)
        memory.reserved[processor] = keys.get("reserved", 0)
        memory.stored[processor] = keys.get("stored", 0)
        request = KernelRequest(
            1, "net.yaml:9: layer 1", 1 << processor, shape, random_kernels(weights), **keys["flags"]
        )
        memory.place_all([request], deduplicate=False)

    return Case(run, words)
