"""``ai8x doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ai8x_tool.cli.common import EXIT_FAILED
from ai8x_tool.cli.options import Command, GivenOptions

if TYPE_CHECKING:
    from ai8x_tool.console import Console


def _doctor(_: GivenOptions, console: Console) -> None:
    from ai8x_tool import api
    from ai8x_tool.report.doctor import doctor_table
    from ai8x_tool.text import counted

    diagnosis = api.doctor()
    console.show(doctor_table(diagnosis))
    console.result(diagnosis.document())
    if not diagnosis.healthy:
        subjects = ", ".join(dict.fromkeys(finding.subject for finding in diagnosis.problems))
        console.error(f"{counted(len(diagnosis.problems), 'problem')}: {subjects}")
        raise typer.Exit(EXIT_FAILED)


COMMAND = Command(
    _doctor,
    details="Missing parts are optional; each line names what needs the part and how to install it. "
    "The exit status is 1 if there is a problem.",
    examples=("ai8x doctor", "ai8x doctor --json"),
)
