"""Comparison of a description's structure with the user's own model during synthesis."""

from __future__ import annotations

from ai8x_tool.console import Console
from ai8x_tool.data.middle import seen
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.verification import ChainSettings
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.training.evaluation import prepare_model
from ai8x_tool.verification.run import evaluation_settings
from ai8x_tool.verification.structure import compare_structure

_FIX = "correct the description, or add --no-verify to write the project anyway"


def require_structure(settings: SynthesizeSettings, synthesis: Synthesis, console: Console) -> None:
    """Compare the structure of the synthesized network with that of the model that the checkpoint names.

    Raises Ai8xError for the first difference. A model or dataset that cannot be loaded is not an error, since the
    program needs neither; that nothing was compared is reported.
    """
    evaluation, skipped = evaluation_settings(settings, ChainSettings())
    if evaluation is None:
        console.detail(f"structure not compared: {'; '.join(skipped)}")
        return
    silent = Console(verbosity=-1, muted=True)
    try:
        entry = seen(find_dataset(evaluation.dataset, evaluation, silent), synthesis.network.input_shape)
        ready = prepare_model(evaluation, entry, silent)
    except Ai8xError as error:
        console.info(f"the structures of model and description were not compared: {error}")
        return
    differences = compare_structure(ready.model, tuple(entry.input), evaluation.checkpoint, synthesis, console)
    if not differences:
        console.info(f"same structure: the description and the model {ready.name}")
        return
    for difference in differences[1:]:
        console.warn(difference)
    raise Ai8xError(differences[0], fix=_FIX)
