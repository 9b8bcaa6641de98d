"""Execution of projects without hardware."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.calls import from_project
from ai8x_tool.settings.project import RunProjectSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.emulation import ProjectRun


@from_project(RunProjectSettings)
def run(project: Path, settings: RunProjectSettings, console: Console) -> ProjectRun:
    """Compile a project unchanged and run its firmware on the virtual device.

    The firmware's core is emulated; with `host`, this computer executes the program instead.
    """
    from ai8x_tool.emulation import run_project

    return run_project(project, settings, console)
