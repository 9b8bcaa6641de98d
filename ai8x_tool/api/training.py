"""Training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.calls import from_recipe
from ai8x_tool.settings.training import TrainSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.training.results import TrainResult


@from_recipe(TrainSettings, "train")
def train(settings: TrainSettings, console: Console) -> TrainResult:
    """Train a model, first in floating point, then quantization-aware.

    Raises TrainingInterruptedError on Ctrl-C, after writing a checkpoint of the last complete epoch.
    """
    from ai8x_tool.files import check_file, write_file
    from ai8x_tool.training.processes import is_reporting_process
    from ai8x_tool.training.trainer import train

    if settings.html is not None:
        check_file(settings.html)
    result = train(settings, console)
    if settings.html is not None and is_reporting_process():
        from ai8x_tool.report.html import training_report

        write_file(training_report(result).encode(), settings.html)
    return result
