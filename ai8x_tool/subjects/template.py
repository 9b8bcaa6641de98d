"""Network description of a model that is not trained yet."""

from __future__ import annotations

from pathlib import Path

import torch

from ai8x_tool.console import Console
from ai8x_tool.device import find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import write_file
from ai8x_tool.frontend.torch import model_network
from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import nothing_placed
from ai8x_tool.plugins.find import find_dataset, find_model
from ai8x_tool.settings.training import AUTOMATIC, TrainSettings
from ai8x_tool.subjects.model import chosen_policy
from ai8x_tool.synthesis.automatic_placement import place_automatically
from ai8x_tool.training.setup import build_untrained
from ai8x_tool.training.tasks import TaskContext, choose_task

_BITS = 8


def write_template(settings: TrainSettings, path: Path, console: Console) -> None:
    """Write the network description of the model that `settings` would train, with an automatic placement.

    Raises Ai8xError for layers that the device does not support, and for a model that does not fit it.
    """
    device, entry = find_device(settings.device), find_dataset(settings.dataset, settings, console)
    name = find_model(settings.model, console).name
    task = choose_task(TaskContext(settings, entry, torch.device("cpu"), console, training=True))
    model = build_untrained(settings, name, entry, task, console)
    policy = None if settings.qat_policy == AUTOMATIC else chosen_policy(settings.qat_policy)
    network = model_network(model, entry.input, device, policy=policy, name=name, undecided=_BITS)
    added = [layer for layer in network.layers if layer.parameters is not None]
    if added:
        text = f"{added[0].name!r} becomes a separate layer, for which a checkpoint of the model will have no weights"
        fix = f"give {name} this layer, or train without --yaml-template: `ai8x synthesize` completes the checkpoint"
        raise Ai8xError(text, where=added[0].source or None, fix=fix)
    opened = PlacedDescription(network, nothing_placed(network))
    (network, placement), options = place_automatically(opened, device, MappingOptions(), console)
    text = write_description(network, placement, device, dataset=entry.name, options=options)
    write_file(text.encode(), path)
