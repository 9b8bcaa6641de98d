"""``ai8x demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.project import DemoSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_RECIPE = "kws20_v3_tts"


def _demo(given: GivenOptions, console: Console) -> None:
    from ai8x_tool.demo import demo_table, run_demo
    from ai8x_tool.report.verification import show_verification
    from ai8x_tool.settings.resolve import resolve

    settings = resolve(DemoSettings, "demo", given=given.of(DemoSettings))
    result = run_demo(given.get("recipe") or _RECIPE, settings, console)
    show_verification(result.verification, console)
    console.show(demo_table(result))
    if result.verification.firmware is not None:
        console.show(f"The firmware's console:\n{result.verification.firmware.console}")
    console.result(result.document())


COMMAND = Command(
    _demo,
    (DemoSettings,),
    (
        Argument(
            "recipe",
            f"Recipe that has a network description (default {_RECIPE}).",
            "[RECIPE]",
            optional=True,
            named_in="configs/recipes",
        ),
    ),
    details="Takes about six minutes on two CPU cores.",
    examples=("ai8x demo",),
)
