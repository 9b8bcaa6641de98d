"""Golden cases: inputs as the tool takes them, stores of the reference generator by phase."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import find_device
from ai8x_tool.frontend.yaml.checkpoint_parameters import load_parameters
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.resolve import ResolveOptions, resolve
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import QUIET, mapped, program, with_placement

INIT, WEIGHTS, BIAS, CONFIGURE, INPUT, START, ENABLE = range(1, 8)


def golden_folder():
    """Return the folder of golden cases; it need not exist."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("AI8X_SHARED", root.parent / "shared")) / "golden"


def entries(kind):
    """Return the cases that begin with `kind` (accept, reject), none where there is no shared folder."""
    index = golden_folder() / "index.json"
    return [e for e in json.loads(index.read_text()) if e.startswith(kind)] if index.is_file() else []


@dataclass(frozen=True)
class Case:
    """One golden case. `options` are those of the reference generator."""

    folder: Path
    device: object
    options: list
    checkpoint: Path
    sample: object

    @property
    def network_file(self):
        return self.folder / "network.yaml"

    def resolve_options(self):
        if "--stop-after" not in self.options:
            return ResolveOptions()
        return ResolveOptions(stop_after=int(self.options[self.options.index("--stop-after") + 1]))

    def network(self):
        """Return the resolved network."""
        description = read_description(self.network_file, self.device, QUIET)
        parameters = load_parameters(description, read_checkpoint(self.checkpoint), self.device, QUIET)
        described = resolve(description, parameters, self.sample.shape, self.device, QUIET, self.resolve_options())
        return with_placement(described, self.device)

    def mapping_options(self):
        fast = "--fast-fifo" in self.options
        return MappingOptions(
            fifo="--fifo" in self.options or fast, fast_fifo=fast, overlap_data="--overlap-data" in self.options
        )

    def lowering_options(self):
        return LoweringOptions(
            express="--no-mexpress" not in self.options, pipeline="--no-pipeline" not in self.options
        )

    def mapping(self):
        """Return the mapped network."""
        return mapped(self.network(), self.mapping_options())

    def program(self):
        """Return the program for the case's sample."""
        return program(self.network(), self.mapping_options(), self.lowering_options(), self.sample)


def read_case(folder):
    """Read the case in `folder`."""
    info = json.loads((folder / "case.json").read_text())
    sample = np.load(folder / "sample.npz")["sample"]
    sample = sample if sample.ndim == 3 else sample[..., None]
    checkpoint = (folder / info["checkpoint"]).resolve()
    return Case(folder, find_device(info["device"]), info["options"], checkpoint, sample)
