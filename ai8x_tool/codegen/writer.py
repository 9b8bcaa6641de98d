"""Writing a project: all files or none."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ai8x_tool.codegen.ide_files import is_kept
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import unwritable
from ai8x_tool.folders import FolderContent, finish, write_folder
from ai8x_tool.text import utf8

_FORMER_FILES = ("main_riscv.c", "Makefile.ARM", "Makefile.RISCV", "Makefile.common", "sampleoutput.h")
"""Generated files that a project with other options does not have."""


def write_project(
    files: dict[str, str], folder: Path, *, overwrite: bool, more: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Write `files`, and `more` that are no texts, into `folder`, which appears complete or not at all.

    An existing folder is an error without `overwrite`; with it, generated files are replaced, the user's files stay.
    """
    check_folder(folder, overwrite=overwrite)
    encoded = {name: utf8(text) for name, text in files.items()} | dict(more)
    write_folder(FolderContent(encoded, tuple(filter(is_kept, encoded)), _FORMER_FILES), folder)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise Ai8xError if `folder` cannot become the project's folder; complete what a killed process began there."""
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise unwritable(folder, error) from None
    if not stat.S_ISDIR(mode):
        raise Ai8xError("the output is a file, not a folder", where=str(folder))
    finish(folder)
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        raise unwritable(folder, error) from None
    if not empty and not overwrite:
        raise Ai8xError("the output folder exists", where=str(folder), fix="add --overwrite to replace its files")
