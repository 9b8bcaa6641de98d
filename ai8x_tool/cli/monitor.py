"""``ai8x monitor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Command, GivenOptions
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.project import MonitorSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


def _monitor(given: GivenOptions, console: Console) -> None:
    from ai8x_tool.board import monitor

    settings = given.settings(MonitorSettings)
    result = monitor(settings, console.show)
    if result.passed is None:
        fix = "reset the board while this command waits, or increase --seconds"
        text = f"no result of the known-answer test within {settings.seconds:g} seconds"
        raise Ai8xError(text, where=str(result.port), fix=fix)
    console.result(result.document())
    if not result.passed:
        raise Ai8xError(
            "the known-answer test failed: the outputs differ from the known answers", where=str(result.port)
        )


COMMAND = Command(
    _monitor,
    (MonitorSettings,),
    details="The program itself compares its outputs with the known answers. The exit status is 0 if the test passes.",
    examples=("ai8x monitor --port /dev/ttyACM0",),
    from_recipe=False,
)
