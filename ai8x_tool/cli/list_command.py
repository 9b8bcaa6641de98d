"""``ai8x list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Argument, Command, GivenOptions

if TYPE_CHECKING:
    from ai8x_tool.console import Console

KINDS = ("models", "datasets", "recipes", "networks", "weights", "devices", "operators")


def _list(given: GivenOptions, console: Console) -> None:
    from ai8x_tool import api
    from ai8x_tool.report.catalogue import resources_table

    kind = given.get("kind")
    resources = api.list_resources(kind, console)
    console.show(resources_table(resources))
    console.result({"schema": "ai8x-list/1", kind: [resource.document() for resource in resources]})


COMMAND = Command(
    _list,
    arguments=(Argument("kind", f"What to list: {', '.join(KINDS[:-1])} or {KINDS[-1]}.", "KIND", choices=KINDS),),
    examples=("ai8x list recipes", "ai8x list models --json"),
)
