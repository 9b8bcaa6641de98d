"""``ai8x new``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.starter import NewSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.starter import NewProject


def _new(given: GivenOptions, console: Console) -> None:
    from ai8x_tool import api

    _show(api.new(given.get("name"), console, **given.of(NewSettings)), console)


def _show(result: NewProject, console: Console) -> None:
    from ai8x_tool.report.data_table import data_table

    for line in result.facts:
        console.show(line)
    console.show(data_table(result.classes, result.counts, result.counted))
    for line in result.remarks:
        console.warn(line)
    found = result.model.found
    console.show(f"model {result.model.name}: fits, {found.cycles:,} cycles ({found.path.text})")
    console.show(f"\nproject: {result.folder}; next commands to run there:\n")
    for command in result.commands:
        console.show(f"  {command}")
    console.result(result.document())


COMMAND = Command(
    _new,
    (NewSettings,),
    (Argument("name", "Name of the project and of its folder.", "NAME"),),
    details="This does not train the model, and does not change the files in the folder.",
    examples=("ai8x new doorbell --data recordings", "ai8x new shapes --data images --device MAX78002"),
    from_recipe=False,
)
