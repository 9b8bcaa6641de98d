"""``ai8x train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from ai8x_tool.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, FileSettings, SummarySettings, show_summary
from ai8x_tool.cli.options import RECIPE, Command, GivenOptions
from ai8x_tool.settings.option import Settings, option
from ai8x_tool.settings.training import TrainSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.training.results import TrainResult


@dataclass(frozen=True, kw_only=True)
class TemplateSettings(Settings):
    """Option that writes the model's network description instead of training the model."""

    panel: ClassVar[str] = "Output"

    yaml_template: Path | None = option(
        None,
        "Write the network description of the model to this file, with a placement, and do not train.",
        metavar="FILE",
    )


def _train(given: GivenOptions, console: Console) -> None:
    settings = given.resolved(TrainSettings, "train")
    template = given.settings(TemplateSettings).yaml_template
    if template is not None:
        from ai8x_tool.subjects.template import write_template

        write_template(settings, template, console)
        console.show(f"network description: {template}")
        return
    summary = given.settings(SummarySettings)
    if summary.summary:
        show_summary(settings, summary, console)
        return

    from ai8x_tool import api
    from ai8x_tool.training.processes import is_launched, is_reporting_process
    from ai8x_tool.training.results import TrainingInterruptedError
    from ai8x_tool.training.world import OtherProcessFailedError

    try:
        result = api.train(settings, console=console)
    except TrainingInterruptedError as stop:
        if is_reporting_process():
            console.error(str(stop))
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except KeyboardInterrupt:
        if is_reporting_process():
            raise
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except OtherProcessFailedError:
        if not is_launched():
            raise
        raise typer.Exit(EXIT_FAILED) from None
    if is_reporting_process():
        _show(result, settings, console)


def _show(result: TrainResult, settings: TrainSettings, console: Console) -> None:
    from ai8x_tool.report.model_tables import clipping_table

    if settings.clipping:
        console.show(clipping_table(result.clipping, f"{result.model}: clipping in the last pass"))
    best = f"best epoch {result.best.epoch}: validation {result.best_headline}"
    test = f", test {result.test_of_best_headline}; last epoch: test {result.test_headline}" if result.test else ""
    source = f"{result.dataset}, {result.note}" if result.note else result.dataset
    console.show(f"{source}: {best}{test}")
    console.show(f"checkpoint: {result.best_checkpoint}")
    console.result(result.document())


COMMAND = Command(
    _train,
    (TrainSettings, FileSettings, SummarySettings, TemplateSettings),
    (RECIPE,),
    common=(
        *("model", "dataset", "data", "device", "settings", "epochs", "batch_size", "optimizer", "learning_rate"),
        *("compress", "qat_policy", "exp_load_weights_from", "resume_from", "name", "out_dir", "confusion"),
        *("deterministic", "gpus", "cpu", "json", "quiet", "verbose"),
    ),
    examples=(
        "ai8x train kws20_v3_tts",
        "ai8x train mnist --epochs 8 --name short",
        "ai8x train --model ai85net5 --dataset MNIST --optimizer Adam --lr 0.001 --wd 0 --epochs 20 "
        "--qat-policy mnist_short --deterministic",
    ),
)
