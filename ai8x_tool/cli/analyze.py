"""``ai8x analyze``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ai8x_tool.cli.common import EXIT_FAILED, FileSettings
from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.analysis import AnalyzeSettings

if TYPE_CHECKING:
    from ai8x_tool.analysis import Analysis
    from ai8x_tool.console import Console


def _analyze(given: GivenOptions, console: Console) -> None:
    from ai8x_tool import api

    subject, settings = given.get("subject"), given.get("settings")
    result = api.analyze(subject, settings, console, **given.of(AnalyzeSettings))
    _show(result, console)
    if given.get("html") is not None:
        console.show(f"report: {given.get('html')}")
    if not result.fits:
        console.error(result.problem())
        raise typer.Exit(EXIT_FAILED)


def _show(result: Analysis, console: Console) -> None:
    from ai8x_tool.report.analysis_text import AnalysisText

    console.show(AnalysisText(result))
    console.result(result.document())


COMMAND = Command(
    _analyze,
    (AnalyzeSettings, FileSettings),
    (
        Argument(
            "subject",
            "Recipe, network description or model: a file, or a name in configs/recipes, configs/networks or models.",
            "MODEL|RECIPE|DESCRIPTION",
            named_in="configs/recipes",
        ),
    ),
    details="No weights or training are needed. A network description is analyzed with its own placement, if any; "
    "otherwise a placement is searched for. The exit status is 1 if the network fits none of the devices.",
    examples=(
        "ai8x analyze kws20_v3 --device both",
        "ai8x analyze ai85net5 --dataset MNIST --html report.html",
        "ai8x analyze bayer2rgbnet --input 4x64x64 --json",
    ),
)
