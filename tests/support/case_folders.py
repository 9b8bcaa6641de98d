"""Folders with a network, a checkpoint, a sample and a command, made into programs whatever the overlap check says."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from types import SimpleNamespace

from ai8x_tool.device import find_device
from ai8x_tool.engine import run
from ai8x_tool.frontend.yaml.load import load_network
from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.lowering import lower, lower_sample
from ai8x_tool.mapping.mapping import build_mapping
from ai8x_tool.mapping.placed import place
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.settings import synthesis_options
from ai8x_tool.synthesis.synthesize import load_sample
from tests.support.golden_cases import golden_folder
from tests.support.networks import QUIET, with_placement

_FILES = ("network", "checkpoint", "sample_input")


def cases_folder():
    """Return the folder of such cases; it need not exist."""
    return golden_folder().parent / "cases"


def command_options(folder):
    """Return the options of ``ai8x synthesize`` in cmd.txt."""
    words = shlex.split((folder / "cmd.txt").read_text())[2:]
    options, name = {}, ""
    for word in words:
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            options[name] = True
        else:
            options[name] = word
    return options


def described(folder, options, **more):
    """Return network, placement, device, options of the synthesis and sample of a folder; `more` are settings."""
    files = {name: folder / options[name] for name in _FILES}
    device = options.get("device", "MAX78000")
    more = {"fifo": options.get("fifo", False), "overlap_data": options.get("overlap_data", False), **more}
    if "input_offset" in options:
        more["input_offset"] = int(options["input_offset"], 0)
    with tempfile.TemporaryDirectory() as output:
        settings = SynthesizeSettings(
            network=str(files["network"]),
            device=device,
            checkpoint=files["checkpoint"],
            output=Path(output) / "out",
            **more,
        )
        options = synthesis_options(settings)
    sample = load_sample(files["sample_input"])
    sample = sample if sample.ndim == 3 else sample[..., None]
    found = find_device(device)
    network, placement = load_network(files["network"], files["checkpoint"], sample.shape, found, QUIET, options)
    return network, placement, found, options, sample


def judged(folder, options):
    """Return a folder's network with its placement, and the options of the mapping."""
    network, placement, device, chosen, _ = described(folder, options)
    return with_placement(PlacedDescription(network, placement), device), chosen.mapping


def synthesized(folder, options):
    """Return program, sample and tensors of a folder's network, whatever rules it breaks."""
    network, placement, device, options, sample = described(folder, options, overlap_data=True, error_stop=False)
    program = lower(build_mapping(place(network, placement, device, options.mapping)), options.lowering)
    tensors = run(network, sample[None], placement.order)
    return SimpleNamespace(program=program, program_sample=lower_sample(program, sample, tensors), tensors=tensors)
