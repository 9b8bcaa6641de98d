"""``ai8x flash``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.project import FlashSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


def _flash(given: GivenOptions, console: Console) -> None:
    from ai8x_tool.board import flash

    written = flash(Path(given.get("folder")), given.settings(FlashSettings), console.info)
    console.show(f"written and verified: {written}")
    console.result({"schema": "ai8x-flash/1", "program": str(written)})


COMMAND = Command(
    _flash,
    (FlashSettings,),
    (Argument("folder", "Folder of the project, as written by `ai8x synthesize`.", "PROJECT"),),
    details="Requires the MSDK, in the folder that MAXIM_PATH names, and a board with a CMSIS-DAP adapter.",
    examples=("ai8x flash build/kws20",),
    from_recipe=False,
)
