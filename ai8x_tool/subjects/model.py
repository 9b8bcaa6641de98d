"""Networks of models, which need not be trained."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch

from ai8x_tool import resources
from ai8x_tool.analysis.result import Shape
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset, DatasetEntry
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import model_network, trace
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.model.build import build_model
from ai8x_tool.network.network import Network
from ai8x_tool.nn import QatPolicy, read_policy
from ai8x_tool.plugins.find import ModelEntry, find_dataset, find_model, model_in_file
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.files import Recipe
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.training import AUTOMATIC, TrainSettings
from ai8x_tool.subjects.find import Subject
from ai8x_tool.subjects.shapes import three_sizes
from ai8x_tool.training.tasks import TaskContext, choose_task

_BITS, _CLASSES = 8, 10


class AnalyzedModel:
    """The network of a model as a recipe trains it, or with the sizes in the settings."""

    def __init__(self, subject: Subject, recipe: Recipe | None, settings: AnalyzeSettings, console: Console) -> None:
        self.settings = settings
        self.console = console
        self.training = None if recipe is None else resolve(TrainSettings, "train", str(recipe.path))
        if self.training is not None:
            self.model = find_model(self.training.model, console)
        else:
            self.model = model_in_file(subject.file, subject.name or settings.model)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @cached_property
    def entry(self) -> DatasetEntry:
        """The dataset, or a substitute with the given shape."""
        shape, training = self.settings.shape, self.training
        name = self.settings.dataset or (None if training is None else training.dataset)
        if name is not None:
            found = find_dataset(name, training, self.console)
            found = found if shape is None else replace(found, input=shape)
        elif shape is not None:
            found = made_entry(self.model, shape)
        else:
            fix = "add --dataset NAME or --input 3x64x64"
            raise Ai8xError("the shape of the input is not known", where=str(self.model.file), fix=fix)
        classes = self.settings.classes
        return found if classes is None else replace(found, labels=tuple(map(str, range(classes))))

    @property
    def input_shape(self) -> Shape:
        """(channels, rows, columns) of a sample."""
        return three_sizes(self.entry.input)

    @cached_property
    def policy(self) -> QatPolicy | None:
        """The QAT policy, which determines the bits of the weights; None without one."""
        training = self.training
        return chosen_policy(self.settings.qat_policy or (None if training is None else training.qat_policy))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the model that the recipe's task adds."""
        if self.training is None:
            return {}
        context = TaskContext(self.training, self.entry, torch.device("cpu"), self.console)
        return dict(choose_task(context).model_arguments())

    def on(self, device: Device) -> tuple[Network, None, MappingOptions]:
        """Return the network of the model for `device`, None for the placement, and the options of the input path."""
        training, settings = self.training, self.settings
        use_bias = settings.use_bias or (training is not None and training.use_bias)
        built = build_model(
            self.model,
            self.entry,
            device=device.name,
            use_bias=use_bias,
            arguments=self.arguments,
            adapt=settings.adapt or (training is not None and training.adapt),
            console=self.console,
        )
        shape, options = self.entry.input, MappingOptions(fifo=settings.fifo, fast_fifo=settings.fast_fifo)
        network = model_network(built, shape, device, policy=self.policy, name=self.name, undecided=_BITS)
        return network, None, options


def named_network(name: str, shape: Shape, dataset: str, device: Device, console: Console) -> Network:
    """Return the network of the model called `name` for inputs of `shape`, (channels, rows, columns).

    It has as many classes as `dataset`, if a dataset is given. Raises Ai8xError if there is no such model, or if it
    cannot be traced.
    """
    model = find_model(name)
    trimmed = shape[:2] if model.dim == 1 else shape
    try:
        entry = replace(find_dataset(dataset, None, console), input=trimmed)
    except Ai8xError:
        entry = made_entry(model, trimmed)
    return trace(build_model(model, entry, device=device.name, adapt=True), trimmed, name)


def chosen_policy(name: str | None) -> QatPolicy | None:
    """Return the QAT policy called `name`; None for None."""
    return None if name in (None, AUTOMATIC) else read_policy(resources.find_config("qat", name, prefix="qat_policy"))


def made_entry(model: ModelEntry, shape: tuple[int, ...]) -> DatasetEntry:
    """Return an entry for inputs of `shape`, with the model's default number of classes."""
    function = model.build.args[-1] if isinstance(model.build, partial) else model.build
    parameters = inspect.signature(function).parameters
    default = parameters["num_classes"].default if "num_classes" in parameters else _CLASSES
    classes = default if isinstance(default, int) else _CLASSES
    return DatasetEntry("none", shape, tuple(map(str, range(classes))), _nothing_to_load)


def _nothing_to_load(_folder: Any, _console: Console) -> Dataset:
    raise Ai8xError("there is no dataset to load")
