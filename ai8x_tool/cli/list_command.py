"""``ai8x list``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ai8x_tool.cli.common import Json, make_console, run


class Kind(str, Enum):
    """What can be listed."""

    models = "models"
    datasets = "datasets"
    recipes = "recipes"
    networks = "networks"
    devices = "devices"
    operators = "operators"


def list_resources(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)], json: Json = False
) -> None:
    """List models, datasets, recipes, networks, devices or operators."""
    console = make_console(json=json, quiet=False, verbose=False)

    def show() -> None:
        from rich.table import Table

        from ai8x_tool.report.catalogue import catalogue

        rows = catalogue(kind.value, console)
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True, style="bold")  # names are to be copied
        for _ in range(2):
            table.add_column(overflow="fold")
        for row in rows:
            table.add_row(row["name"], row["description"], row.get("file", ""))
        console.show(table)
        console.result({"schema": "ai8x-list/1", kind.value: rows})

    run(console, show)
