"""``ai8x evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ai8x_tool.cli.common import EXIT_FAILED, FileSettings, SummarySettings, show_summary
from ai8x_tool.cli.options import RECIPE, Command, GivenOptions
from ai8x_tool.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


def _evaluate(given: GivenOptions, console: Console) -> None:
    settings = given.resolved(EvaluateSettings, "evaluate")
    summary = given.settings(SummarySettings)
    if summary.summary:
        show_summary(settings, summary, console)
        return

    from ai8x_tool import api
    from ai8x_tool.report.model_tables import clipping_table

    result = api.evaluate(settings, console=console)
    source = f"{result.dataset}, {result.note}" if result.note else result.dataset
    console.show(f"{result.headline} of {result.score.samples} samples of {source}")
    if settings.clipping:
        console.show(clipping_table(result.clipping, f"{result.model}: clipping"))
    if result.not_compared is not None:
        console.show(f"not compared with the integer engine: {result.not_compared}")
    if result.agreement is not None and result.agreement.complete:
        console.show(result.agreement.text())
    console.result(result.document())
    if result.agreement is not None and not result.agreement.complete:
        console.error(result.agreement.text())
        raise typer.Exit(EXIT_FAILED)


COMMAND = Command(
    _evaluate,
    (EvaluateSettings, FileSettings, SummarySettings),
    (RECIPE,),
    common=(
        *("checkpoint", "model", "dataset", "data", "device", "settings", "simulate", "network", "batch_size"),
        *("confusion", "clipping", "save_sample", "save_sample_file", "out_dir", "use_bias", "gpus", "cpu"),
        *("json", "quiet", "verbose"),
    ),
    examples=(
        "ai8x evaluate kws20_v3_tts --checkpoint kws20_q.pth.tar --8bit",
        "ai8x evaluate mnist --checkpoint logs/latest/qat_best.pth.tar --confusion",
    ),
)
