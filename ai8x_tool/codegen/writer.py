"""Writing a project: all files or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ai8x_tool.errors import Ai8xError

KEPT_FILES = ("project.mk", ".vscode/settings.json", ".vscode/tasks.json")
"""Files of the user's own: written once, never replaced."""

_FORMER_FILES = ("main_riscv.c", "Makefile.ARM", "Makefile.RISCV", "Makefile.common", "sampleoutput.h")
"""Generated files that a project with other options does not have."""


def write_project(files: dict[str, str], folder: Path, *, overwrite: bool) -> None:
    """Write `files` into `folder`, which appears complete or not at all.

    An existing folder is an error without `overwrite`; with it, generated files are replaced, the user's files stay.
    """
    check_folder(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from None
    try:
        temporary.chmod(0o755)
        for name, text in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if folder.exists():
            _replace(temporary, folder, files)
        else:
            temporary.rename(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise Ai8xError if `folder` cannot become the project's folder."""
    if folder.exists() and not folder.is_dir():
        raise Ai8xError("the output is a file, not a folder", where=str(folder))
    if folder.is_dir() and not overwrite and any(folder.iterdir()):
        raise Ai8xError("the output folder exists", where=str(folder), fix="add --overwrite to replace its files")


def _replace(temporary: Path, folder: Path, files: dict[str, str]) -> None:
    """Complete the new folder with the user's own files, then put it in the place of the old one in one step."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        target = temporary / name
        own = name.as_posix() not in {*files, *_FORMER_FILES} or name.as_posix() in KEPT_FILES
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
        elif own:
            target.unlink(missing_ok=True)
            _link_or_copy(path, target)
    backup = temporary.with_name(f"{temporary.name}.old")
    folder.rename(backup)
    try:
        temporary.rename(folder)
    except OSError:
        backup.rename(folder)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _cannot_write(path: Path, error: OSError) -> Ai8xError:
    return Ai8xError(
        f"cannot be written: {error.strerror or error}", where=str(path), fix="check space and permissions"
    )
