"""Description and sample of a project for a model without a network description."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from ai8x_tool.checkpoint import PREPROCESSING, Checkpoint, read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset, DatasetEntry
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import bind, trace
from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.mapping.placement import nothing_placed
from ai8x_tool.network.device_rules import require_device
from ai8x_tool.network.network import Network
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.quantization.added import added_layers, for_network
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.subjects.sample import random_sample
from ai8x_tool.synthesis.automatic_placement import place_automatically
from ai8x_tool.synthesis.project import ProjectInputs
from ai8x_tool.synthesis.settings import synthesis_options
from ai8x_tool.synthesis.synthesize import load_sample
from ai8x_tool.training.evaluation import PreparedModel, prepare_model
from ai8x_tool.training.interpretation import interpretation_of
from ai8x_tool.training.passes import Evaluator
from ai8x_tool.training.tasks.reconstruction import Reconstruction

Described = TypeVar("Described", bound=SynthesizeSettings)
_MARGIN = 1.3
"""Margin of the anomaly threshold: machines in use differ slightly from those in the data."""


def placed_model(settings: Described, console: Console) -> tuple[Described, ProjectInputs]:
    """Return the settings and the inputs of a project for the model that the settings name.

    The model is traced and placed automatically. The sample is the given one, the first of the dataset's test split or,
    if the dataset cannot be loaded, random. Raises Ai8xError if model, dataset or checkpoint are not known, and if the
    model cannot run on the device.
    """
    evaluation = _evaluation(settings)
    checkpoint, device = read_checkpoint(evaluation.checkpoint), settings.part
    entry = find_dataset(evaluation.dataset, evaluation, console)
    ready = prepare_model(evaluation, entry, console)
    network = bind(trace(ready.model, entry.input, ready.name, device=device), checkpoint, device, console)
    require_device(network, device)
    asked = synthesis_options(settings).mapping
    opened = PlacedDescription(network, nothing_placed(network))
    (network, placement), options = place_automatically(
        *(opened, device, asked, console, settings.map_seconds),
        parallel=settings.parallel_outputs,
        moves=True,
    )
    dataset = "".join(c if c.isalnum() else "_" for c in entry.name)
    text = write_description(network, placement, device, dataset=dataset, options=options)
    chosen = replace(settings, fifo=options.fifo, overlap_data=options.overlap_data)
    sample = settings.sample_input_file(entry.name)
    anomalies = isinstance(ready.task, Reconstruction)
    data = _data(evaluation, entry, console) if sample is None or anomalies else None
    limit = None if data is None else _threshold(ready, data, evaluation, console)
    seen = (network.input_shape[0], *entry.input[1:])  # further channels of the dataset are for a teacher
    values = _values(data, seen, console) if sample is None else load_sample(sample)
    meaning = interpretation_of(ready.task, checkpoint.extras.get(PREPROCESSING))
    plain = None if meaning is None else meaning.document()
    return chosen, ProjectInputs(
        text, values, limit, tuple(entry.labels), plain, _completed(network, checkpoint, console)
    )


def _completed(network: Network, checkpoint: Checkpoint, console: Console) -> bytes | None:
    """Return the checkpoint that the description needs; None if it is the one that was given."""
    names = ", ".join(layer.name for layer in added_layers(checkpoint, network))
    if names:
        console.info(f"layers added to move data or to apply an activation: {names}")
    completed = for_network(checkpoint, network)
    if completed is not None and not names:
        console.info("the project contains a copy of the checkpoint with its weights in the order of the layers")
    return completed


def _evaluation(settings: SynthesizeSettings) -> EvaluateSettings:
    checkpoint = settings.checkpoint_file()
    if checkpoint is None:
        raise Ai8xError("synthesize needs a quantized checkpoint", fix="add --checkpoint FILE")
    shared = ("model", "dataset", "device", "avg_pool_rounding")
    given = {key: getattr(settings, key) for key in shared if getattr(settings, key) is not None}
    given |= {"checkpoint": checkpoint, "simulate": True}
    if settings.evaluation_recipe is None and settings.dataset is None:
        fix = "name a recipe, a network description (--network) or a dataset (--dataset)"
        raise Ai8xError("without a network description, the shape of the input is not known", fix=fix)
    return resolve(EvaluateSettings, "evaluate", settings.evaluation_recipe, None, given)


def _data(evaluation: EvaluateSettings, entry: DatasetEntry, console: Console) -> Dataset | None:
    try:
        return entry.load(evaluation.data, console)
    except Ai8xError as error:
        console.detail(f"the dataset cannot be loaded: {error}")
        return None


def _values(data: Dataset | None, shape: tuple[int, ...], console: Console) -> np.ndarray[Any, Any]:
    """Return the first sample of the test split, the first input of it if it is a sequence, or random values; int64."""
    if data is None:
        return random_sample(shape, console)
    first = data.test.batch(torch.tensor([0]))[0][0]
    first = first[0] if first.dim() > len(shape) else first
    return first[: shape[0]].numpy().astype(np.int64)


def _threshold(ready: PreparedModel, data: Dataset, evaluation: EvaluateSettings, console: Console) -> float | None:
    """Return the error above which a sample is an anomaly, None if the model does not detect anomalies."""
    if not isinstance(ready.task, Reconstruction):
        return None
    quiet = Evaluator(ready.model, ready.task, ready.device, evaluation.batch_size, console, line=console.detail)
    ready.task.calibrate(data, quiet.predict_split)
    return None if ready.task.threshold is None else _MARGIN * ready.task.threshold
