"""Networks of descriptions, with or without a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ai8x_tool.analysis.result import Shape
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import DEVICES, MAX78002, Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.array_parameters import load_test_parameters
from ai8x_tool.frontend.yaml.checkpoint_parameters import load_parameters
from ai8x_tool.frontend.yaml.description import NetworkDescription
from ai8x_tool.frontend.yaml.load import LoadOptions, array_files
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.resolve import resolve
from ai8x_tool.frontend.yaml.unweighted import channels_of, described_input, missing_channels, with_channels
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.layer import Parameters
from ai8x_tool.network.network import Network
from ai8x_tool.resources import locate
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.files import Recipe
from ai8x_tool.settings.resolve import resolve as resolve_settings
from ai8x_tool.settings.synthesis import CHECKPOINTS, SynthesizeSettings
from ai8x_tool.settings.weights import checkpoint_path
from ai8x_tool.subjects.shapes import sample_shape


class DescribedNetwork:
    """The network of a description `file`, which may be named by a recipe.

    The numbers of outputs come from the checkpoint, the description itself (`out_channels`), or the model that the
    description is for, whichever of these is the first to define them.
    """

    def __init__(self, file: Path, recipe: Recipe | None, settings: AnalyzeSettings, console: Console) -> None:
        self.file = file
        self.recipe = recipe
        self.settings = settings
        self.console = console
        self.chosen = None if recipe is None else resolve_settings(SynthesizeSettings, "synthesize", str(recipe.path))

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.file.stem

    @cached_property
    def options(self) -> tuple[LoadOptions, MappingOptions]:
        """The options of the recipe for the synthesis."""
        if self.chosen is None:
            return LoadOptions(), MappingOptions()
        from ai8x_tool.synthesis.settings import synthesis_options  # noqa: PLC0415  (slow to load)

        options = synthesis_options(self.chosen)
        return options, options.mapping

    @cached_property
    def input_shape(self) -> Shape:
        """(channels, rows, columns) of a sample."""
        silent = Console(verbosity=-1, muted=True)
        description = self._read(MAX78002, silent)
        return sample_shape(
            self.settings, self._dataset(description), described_input(description), str(self.file), self.console
        )

    def on(self, device: Device) -> tuple[Network, Placement | None, MappingOptions]:
        """Return network and placement of the description, and the options of the input path."""
        description = self._read(device, self.console)
        parameters = self._parameters(description, device)
        if not parameters and missing_channels(description):
            description = with_channels(description, self._model_channels(description))
        elif not parameters:
            description = with_channels(description, {})
        network, placement = resolve(
            description, parameters, self.input_shape, device, self.console, self.options[0].network
        )
        return network, placement, self._mapping_options(placement)

    def _dataset(self, description: NetworkDescription) -> str:
        given = None if self.recipe is None else self.recipe.common.get("dataset")
        return str(self.settings.dataset or given or description.dataset)

    def _read(self, device: Device, console: Console) -> NetworkDescription:
        return read_description(self.file, device, console, skip_layers=self.options[0].skip_yaml_layers)

    def _mapping_options(self, placement: Placement) -> MappingOptions:
        streams = any(layer.streaming for layer in placement.layers.values())
        options, settings = self.options[1], self.settings
        return replace(
            options,
            fifo=options.fifo or settings.fifo or settings.fast_fifo or streams,
            fast_fifo=options.fast_fifo or settings.fast_fifo,
            overlap_data=options.overlap_data or settings.overlap_data,
        )

    def _parameters(self, description: NetworkDescription, device: Device) -> dict[int, Parameters]:
        """Return the parameters of all layers, an empty dictionary if there is no checkpoint."""
        if description.is_test:
            return self._test_parameters(description)
        given = self.settings.checkpoint
        if given is None:
            own = None if self.chosen is None else self.chosen.checkpoint
            file = None if own is None else own if own.is_file() else locate(CHECKPOINTS, own)
        else:
            file = checkpoint_path(given)
        if file is None:
            return {}
        checkpoint = read_checkpoint(file)
        return load_parameters(description, checkpoint, device, self.console, self.options[0].parameters)

    def _test_parameters(self, description: NetworkDescription) -> dict[int, Parameters]:
        weights, biases = array_files(description, self.options[0])
        return load_test_parameters(description, weights, biases) if weights.is_file() else {}

    def _model_channels(self, description: NetworkDescription) -> dict[int, int]:
        """Return the outputs of the layers of the description's model, on any device that supports the model."""
        from ai8x_tool.subjects.model import named_network  # noqa: PLC0415  (imports torch)

        problems, dataset = [], self._dataset(description)
        for device in DEVICES:
            try:
                network = named_network(description.arch, self.input_shape, dataset, device, self.console)
            except Ai8xError as error:
                problems.append(str(error))
            else:
                return channels_of(description, network)
        message = f"the number of outputs is not known, and cannot be taken from the model: {problems[0]}"
        where = description.where(missing_channels(description)[0])
        raise Ai8xError(message, where=where, fix="set out_channels, or pass --checkpoint FILE")
