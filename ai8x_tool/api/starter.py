"""Projects for the user's own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.calls import from_name
from ai8x_tool.settings.starter import NewSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.starter import NewProject


@from_name(NewSettings)
def new(name: str, settings: NewSettings, console: Console) -> NewProject:
    """Create the project folder `name`, with a recipe and a model for a folder of images, sounds or tables."""
    from ai8x_tool.starter import new_project

    return new_project(name, settings, console)
