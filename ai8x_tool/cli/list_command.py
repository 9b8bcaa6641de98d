"""``ai8x list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Argument, Command, GivenOptions

if TYPE_CHECKING:
    from ai8x_tool.console import Console

KINDS = ("models", "datasets", "recipes", "networks", "devices", "operators")


def _list(given: GivenOptions, console: Console) -> None:
    from rich.table import Table

    from ai8x_tool import api

    kind = given.get("kind")
    resources = api.list_resources(kind, console)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")  # names are to be copied
    for _ in range(2):
        table.add_column(overflow="fold")
    for resource in resources:
        file = "" if resource.file is None else str(resource.file)
        table.add_row(resource.name, resource.description, file)
    console.show(table)
    console.result({"schema": "ai8x-list/1", kind: [resource.document() for resource in resources]})


COMMAND = Command(
    _list,
    arguments=(Argument("kind", f"What to list: {', '.join(KINDS[:-1])} or {KINDS[-1]}.", "KIND", choices=KINDS),),
    examples=("ai8x list recipes", "ai8x list models --json"),
)
