"""Analysis of recipes, network descriptions and models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.calls import from_subject
from ai8x_tool.settings.analysis import AnalyzeSettings

if TYPE_CHECKING:
    from ai8x_tool.analysis import Analysis
    from ai8x_tool.console import Console


def _recipe_of(subject: str | Path) -> str | None:
    from ai8x_tool.subjects.find import recipe_of

    return recipe_of(subject)


@from_subject(AnalyzeSettings, "analyze", _recipe_of)
def analyze(subject: str | Path, settings: AnalyzeSettings, console: Console) -> Analysis:
    """Analyze a recipe, a network description or a model: whether it fits, how fast it runs and what limits it.

    Neither weights nor training are needed. A network that does not fit is a result, not an exception.
    """
    from ai8x_tool.files import check_file, write_file
    from ai8x_tool.subjects.analyze import analyze

    if settings.html is not None:
        check_file(settings.html)
    result = analyze(subject, settings, console)
    if settings.html is not None:
        from ai8x_tool.report.html import html_report

        write_file(html_report(result).encode(), settings.html)
    return result
