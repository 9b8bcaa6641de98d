"""``ai8x verify``: find the inputs, synthesize in memory, check every link of the chain."""

from __future__ import annotations

import importlib.util

import numpy as np

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.plugins.find import find_dataset, find_model
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.files import SETTINGS_FILE
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.verification import ChainSettings, VerifySettings
from ai8x_tool.synthesis.project import ProjectInputs, build_project, differing_files
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.verification.chain import Proof, Samples, data_samples, model_settings, prove

_SHARED = ("checkpoint", "model", "dataset", "device", "avg_pool_rounding")
"""Settings of synthesis that mean the same in evaluation."""


def verify(settings: VerifySettings, console: Console, inputs: ProjectInputs | None = None) -> Proof:
    """Check the whole chain for what is synthesized with `settings`; nothing is written.

    Raises Ai8xError for everything that is wrong with the inputs, and if the project in `settings.check` is another
    one; broken links are part of the result.
    """
    synthesis = build_project(settings, console, inputs)
    if settings.check is not None:
        different = differing_files(synthesis.files, settings.check)
        if different:
            names = ", ".join(different)
            fix = f"generate it again, or verify --settings {settings.check / SETTINGS_FILE} alone"
            raise Ai8xError(f"not what its settings generate: {names}", where=str(settings.check), fix=fix)
    return verify_synthesis(settings, synthesis, settings, console)


def verify_synthesis(
    settings: SynthesizeSettings, synthesis: Synthesis, chain: ChainSettings, console: Console
) -> Proof:
    """Check the whole chain for what was synthesized with `settings`."""
    evaluation = evaluation_settings(settings, chain, console)
    if chain.samples is None:
        samples = Samples(synthesis.sample[None].astype(np.int8), "the known-answer sample")
    elif evaluation is not None:
        samples = data_samples(evaluation, chain.samples, console)
    else:
        raise Ai8xError("no dataset to take samples from", fix="name a recipe, or pass --dataset and --model")
    models = {} if evaluation is None else model_settings(evaluation, evaluation.checkpoint, chain.trained)
    return prove(synthesis, samples, models, console, firmware=_can_run_firmware(chain.firmware, console))


def _can_run_firmware(wanted: bool | None, console: Console) -> bool:
    """Return whether to compile and run the program; say so where a missing package is the reason not to."""
    if wanted is None and importlib.util.find_spec("unicorn") is None:
        console.info("the firmware is not run: pip install 'ai8x-tool[virtual]'")
        return False
    return wanted is not False


def evaluation_settings(
    settings: SynthesizeSettings, chain: ChainSettings, console: Console
) -> EvaluateSettings | None:
    """Return how to run the models in torch; None, with a message, where the model or its dataset is not known."""
    checkpoint = settings.checkpoint_file()
    if checkpoint is None:
        console.info("no checkpoint: there is no model to compare the engine with")
        return None
    shared = {key: getattr(settings, key) for key in _SHARED}
    given = {key: value for key, value in shared.items() if value is not None}
    given |= {"checkpoint": checkpoint, "simulate": True}
    given |= {} if chain.data == ChainSettings().data else {"data": chain.data}
    if settings.evaluation_recipe is None and settings.dataset is None:
        muted = Console(verbosity=-1, muted=True)
        given["dataset"] = read_description(settings.network_file(), settings.part, muted).dataset
    wanted = chain.trained is not None or chain.samples is not None or settings.model is not None
    try:
        chosen = resolve(EvaluateSettings, "evaluate", settings.evaluation_recipe, None, given)
        find_dataset(chosen.dataset, chosen)
        find_model(chosen.model or read_checkpoint(checkpoint).arch or "")
    except Ai8xError as error:
        if wanted:
            raise
        console.info(f"the quantized model is not compared with the engine: {error}")
        return None
    return chosen
