"""``ai8x verify``: find the inputs, synthesize in memory, check every link of the chain."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.plugins.find import find_dataset, find_model
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.project import generate
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.verify.chain import Proof, Samples, data_samples, model_settings, prove

_SHARED = ("checkpoint", "model", "dataset", "device", "avg_pool_rounding")
"""Settings of synthesis that mean the same in evaluation."""


@dataclass(frozen=True)
class VerifyOptions:
    """What to verify: `samples` test samples of the data set in `data`, or the known-answer sample of the program.

    `trained` is the checkpoint before quantization. `firmware` None runs the compiled program where that is possible.
    """

    trained: Path | None = None
    samples: int | None = None
    data: Path = Path("data")
    firmware: bool | None = None

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise Ai8xError(f"samples {self.samples} must be at least 1")


def verify(recipe: str | None, settings: SynthesizeSettings, options: VerifyOptions, console: Console) -> Proof:
    """Check the whole chain; the plain Python form of ``ai8x verify``.

    Raises Ai8xError for everything that is wrong with the inputs; broken links are part of the result.
    """
    return verify_synthesis(recipe, settings, generate(settings, console), options, console)


def verify_synthesis(
    recipe: str | None,
    settings: SynthesizeSettings,
    synthesis: Synthesis,
    options: VerifyOptions,
    console: Console,
) -> Proof:
    """Check the whole chain for what was synthesized with `settings`."""
    evaluation = evaluation_settings(recipe, settings, options, console)
    if options.samples is None:
        samples = Samples(synthesis.sample[None].astype(np.int8), "the known-answer sample")
    elif evaluation is not None:
        samples = data_samples(evaluation, options.samples, console)
    else:
        raise Ai8xError("no data set to take samples from", fix="name a recipe, or pass --dataset and --model")
    models = {} if evaluation is None else model_settings(evaluation, evaluation.checkpoint, options.trained)
    return prove(synthesis, samples, models, console, firmware=_can_run_firmware(options.firmware, console))


def _can_run_firmware(wanted: bool | None, console: Console) -> bool:
    """Return whether to compile and run the program; say so where a missing package is the reason not to."""
    if wanted is None and importlib.util.find_spec("unicorn") is None:
        console.info("the firmware is not run: pip install 'ai8x-tool[virtual]'")
        return False
    return wanted is not False


def evaluation_settings(
    recipe: str | None, settings: SynthesizeSettings, options: VerifyOptions, console: Console
) -> EvaluateSettings | None:
    """Return how to run the models in torch; None, with a message, where the model or its data set is not known."""
    checkpoint = settings.checkpoint_file()
    if checkpoint is None:
        console.info("no checkpoint: there is no model to compare the engine with")
        return None
    flags: dict[str, Any] = {key: getattr(settings, key) for key in _SHARED}
    flags |= {"checkpoint": checkpoint, "data": options.data, "simulate": True}
    if recipe is None:
        muted = Console(verbosity=-1, muted=True)
        flags["dataset"] = settings.dataset or read_description(settings.network_file(), settings.part, muted).dataset
    wanted = options.trained is not None or options.samples is not None or settings.model is not None
    try:
        chosen = resolve(EvaluateSettings, "evaluate", recipe, None, flags)
        find_dataset(chosen.dataset, chosen)
        find_model(chosen.model or read_checkpoint(checkpoint).arch or "")
    except Ai8xError as error:
        if wanted:
            raise
        console.info(f"the quantized model is not compared with the engine: {error}")
        return None
    return chosen
