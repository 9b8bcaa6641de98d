"""Writing of a project: all files or none."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ai8x_tool.codegen.ide_files import DIGESTS, digest, is_kept
from ai8x_tool.codegen.interface import INTERFACE
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import unwritable
from ai8x_tool.folders import FolderContent, finish, write_folder
from ai8x_tool.readers.json_file import read_json
from ai8x_tool.text import utf8

_FORMER_FILES = ("main_riscv.c", "Makefile.ARM", "Makefile.RISCV", "Makefile.common", "sampleoutput.h")
"""Generated files that a project with other options does not have."""


def write_project(
    files: dict[str, str], folder: Path, *, overwrite: bool, more: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Write `files`, and `more` binary ones, to `folder`, which appears complete or not at all.

    An existing folder is an error without `overwrite`; with it, generated files are replaced and the user's files are
    kept: all others, and generated files meant for the user to change if they were, or may have been, changed.
    """
    check_folder(folder, overwrite=overwrite)
    unchanged = _unchanged(folder)
    encoded = {name: utf8(text) for name, text in files.items()} | dict(more)
    kept = tuple(name for name in filter(is_kept, encoded) if name not in unchanged)
    renamed = (name for name in sorted(unchanged - encoded.keys()) if PurePosixPath(name).name == name)
    former = (*_FORMER_FILES, *renamed)  # the launch configuration has the project's name
    write_folder(FolderContent(encoded, kept, former), folder)


def _unchanged(folder: Path) -> set[str]:
    """Return the files to which :func:`is_kept` applies and that are unchanged since they were generated.

    If a project has no list of digests, or a damaged one, its files are considered changed.
    """
    try:
        document = read_json(folder / INTERFACE)
        known = {folder / name: (name, found) for name, found in document.get(DIGESTS, {}).items() if is_kept(name)}
        return {name for path, (name, found) in known.items() if path.is_file() and digest(path.read_bytes()) == found}
    except (Ai8xError, AttributeError, OSError, TypeError, ValueError):
        return set()


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise Ai8xError if `folder` cannot become the project's folder; complete an interrupted write in it."""
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
