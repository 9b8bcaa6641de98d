"""Generation of a C project from a program. Templates do no arithmetic; all their values are computed here."""

from ai8x_tool.codegen.options import ProjectOptions
from ai8x_tool.codegen.project import render_project
from ai8x_tool.codegen.writer import write_project

__all__ = ["ProjectOptions", "render_project", "write_project"]
