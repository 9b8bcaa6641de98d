"""A drawn network: its description, weights, sample and options, and what the tool makes of them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.engine import LayerTensors
from ai8x_tool.frontend.yaml.checkpoint_parameters import load_parameters
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.resolve import resolve
from ai8x_tool.lowering import Program
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.settings import project_options, synthesis_options
from tests.support.networks import QUIET, SampledProgram, synthesized, with_placement, yaml_text


@dataclass(frozen=True, eq=False)
class DrawnNetwork:
    """`content` is the YAML document, `state` the checkpoint's arrays, `options` fields of SynthesizeSettings."""

    device: object
    content: dict
    state: dict
    sample_shape: tuple
    seed: int
    options: dict = field(default_factory=dict)

    def __repr__(self):
        layers = "\n".join(f"  {layer}" for layer in self.content["layers"])
        top = {key: value for key, value in self.content.items() if key != "layers"}
        arrays = {key: value.shape for key, value in self.state.items()}
        return f"{self.device.name} {self.options} sample {self.sample_shape} {top}\n{layers}\n{arrays}"

    def _repr_pretty_(self, printer, cycle):
        printer.text(repr(self))

    @property
    def layers(self):
        return self.content["layers"]

    @property
    def sample(self):
        """Return random data of (channels, rows, columns)."""
        return np.random.default_rng(self.seed).integers(-128, 128, self.sample_shape)

    def checkpoint(self):
        """Return the weights as a checkpoint holds them."""
        return Checkpoint(Path("random.pth.tar"), self.state, 0, "test_net", {}, {})

    def resolved(self):
        """Return (network, settings) as the command line would see them."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.yaml"
            path.write_text(yaml_text(self.content))
            place = {"network": str(path), "device": self.device.name, "output": Path(folder) / "out"}
            settings = SynthesizeSettings(**place, **self.options)
            chosen, project = synthesis_options(settings), project_options(settings)
            description = read_description(path, self.device, QUIET, skip_layers=chosen.skip_yaml_layers)
        parameters = load_parameters(description, self.checkpoint(), self.device, QUIET, chosen.parameters)
        described = resolve(description, parameters, self.sample_shape, self.device, QUIET, chosen.network)
        return with_placement(described, self.device), chosen, project

    def synthesize(self):
        """Return everything that ``ai8x synthesize`` makes; Ai8xError as it would raise it."""
        network, chosen, project = self.resolved()
        return synthesized(network, self.sample, project, chosen, QUIET)

    def program(self) -> tuple[Program, LayerTensors]:
        """Return the program, and what the integer engine computes for its sample."""
        result = self.synthesize()
        return SampledProgram(result.program, result.program_sample), result.tensors
