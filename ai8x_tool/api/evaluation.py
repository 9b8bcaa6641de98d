"""Evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.calls import from_recipe
from ai8x_tool.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.training.evaluation import EvaluateResult


@from_recipe(EvaluateSettings, "evaluate")
def evaluate(settings: EvaluateSettings, console: Console) -> EvaluateResult:
    """Evaluate a checkpoint on the test split of its dataset; with `simulate`, in the integers of the accelerator."""
    from ai8x_tool.files import check_file, write_file
    from ai8x_tool.training.evaluation_run import evaluate_into_folder

    if settings.html is not None:
        check_file(settings.html)
    result = evaluate_into_folder(settings, console)
    if settings.html is not None:
        from ai8x_tool.report.html import evaluation_report

        write_file(evaluation_report(result).encode(), settings.html)
    return result
