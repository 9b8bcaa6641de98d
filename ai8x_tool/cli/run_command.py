"""``ai8x run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ai8x_tool.cli.common import EXIT_FAILED
from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.project import RunProjectSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.emulation import ProjectRun


def _run(given: GivenOptions, console: Console) -> None:
    from ai8x_tool import api

    result = api.run(given.get("folder"), console, **given.of(RunProjectSettings))
    _show(result, console)
    if not result.run.passed:
        raise typer.Exit(EXIT_FAILED)


def _show(result: ProjectRun, console: Console) -> None:
    from ai8x_tool.report.firmware import memory_table, output_lines, phase_table

    for line in output_lines(result):
        console.show(line)
    if result.run.memory:
        console.show(phase_table(result))
        console.show(memory_table(result))
    for text in result.diagnostics:
        console.warn(text)
    if result.run.fault:
        console.error(result.run.fault)
    console.result(result.document())


COMMAND = Command(
    _run,
    (RunProjectSettings,),
    (Argument("folder", "Folder of the project, as written by `ai8x synthesize`.", "PROJECT"),),
    details="The exit status is 0 if the program's own known-answer test passes.",
    examples=(
        "ai8x run build/kws20",
        "ai8x run build/kws20 --input a.npy --input b.npy --output-file outputs.npy",
    ),
)
