"""Projects for a folder of data: ``ai8x new``."""

from ai8x_tool.starter.project import NewProject, new_project

__all__ = ["NewProject", "new_project"]
