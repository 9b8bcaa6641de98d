"""Networks from models and their quantized checkpoints: what is synthesized without a description."""

from __future__ import annotations

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import bind, trace
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.model import ModelNetwork
from ai8x_tool.training.evaluation import prepare_model

_SHARED = ("model", "dataset", "device", "avg_pool_rounding")
"""Settings of synthesis that mean the same for the model."""


def network_of_model(settings: SynthesizeSettings, console: Console) -> ModelNetwork | None:
    """Return the network of the model that `settings` name, None if they name a network description.

    Raises Ai8xError, naming module and line, for what the accelerator cannot do.
    """
    if settings.network is not None:
        return None
    checkpoint = settings.checkpoint_file()
    if checkpoint is None:
        if settings.model is None and settings.evaluation_recipe is None:
            fix = "name a recipe or a model, or pass --network"
            raise Ai8xError("synthesize needs a network description or a model", fix=fix)
        raise Ai8xError("no checkpoint given", fix="add --checkpoint FILE with a quantized checkpoint")
    given = {key: value for key in _SHARED if (value := getattr(settings, key)) is not None}
    given |= {"checkpoint": checkpoint, "simulate": True}
    chosen = resolve(EvaluateSettings, "evaluate", settings.evaluation_recipe, None, given)
    entry = find_dataset(chosen.dataset, chosen, console)
    ready = prepare_model(chosen, entry, console)
    traced = trace(ready.model, entry.input, ready.name, device=settings.part)
    return ModelNetwork(bind(traced, ready.checkpoint, settings.part, console), entry.name)
