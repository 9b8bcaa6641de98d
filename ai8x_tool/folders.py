"""Replacement of the files of a folder in one step, or such that the next run completes an interrupted replacement."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import (
    exchange,
    is_temporary,
    locked,
    remove_leftovers,
    remove_tree,
    resolved_path,
    temporary_folder,
    unwritable,
)

_COMMIT = ".ai8x-commit"
"""Name of a subfolder that contains the complete set of new files while they are moved to their places."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@dataclass(frozen=True)
class FolderContent:
    """New files by name. Those in `kept` do not replace existing files; files with names in `former` are removed.

    All other files in the folder belong to the user and are not changed.
    """

    files: Mapping[str, bytes]
    kept: tuple[str, ...] = ()
    former: tuple[str, ...] = ()

    def is_own(self, name: str) -> bool:
        """Return whether the file of this name in the old folder is kept."""
        return name in self.kept or (name not in self.files and name not in self.former)

    def only_kept(self, folder: str) -> bool:
        """Return whether none of the new files in a folder replace existing ones."""
        return all(name in self.kept for name in self.files if PurePosixPath(name).is_relative_to(folder))

    def write(self, folder: Path) -> None:
        """Write all files to an empty folder."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def write_folder(content: FolderContent, folder: Path) -> None:
    """Write `content` to `folder`, which may exist; symbolic links are followed.

    A new folder appears in one step. An existing one is exchanged in one step if the system supports this and the
    folder can be moved, that is, if it is neither a mount point nor the current directory of this process. Otherwise
    the files are replaced one by one, and :func:`finish` completes this if the process is killed. Raises Ai8xError if
    the folder cannot be written; nothing has changed then.
    """
    try:
        target = resolved_path(folder)
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary_folder(target.parent) as new:
                content.write(new)
                new.rename(target)
        elif not (_is_movable(target) and _replace_folder(content, target)):
            _replace_files(content, target)
    except (OSError, ValueError) as error:
        raise unwritable(folder, error) from None


def finish(folder: Path) -> None:
    """Complete a replacement in `folder` that a killed process had begun, and remove its temporary files.

    Raises Ai8xError if this is not possible.
    """
    try:
        if (folder / _COMMIT).is_dir():
            with locked(folder):
                _finish(folder)
        remove_leftovers(folder)
    except OSError as error:
        raise unwritable(folder, error) from None


def _is_movable(folder: Path) -> bool:
    """Return whether `folder` can be replaced: it is neither a mount point nor the current directory."""
    with contextlib.suppress(OSError):
        return not folder.is_mount() and not Path.cwd().resolve().is_relative_to(folder)
    return not folder.is_mount()


def _replace_folder(content: FolderContent, folder: Path) -> bool:
    """Exchange `folder` for a new one that also has the user's own files. Return False if this is not possible."""
    try:
        with temporary_folder(folder.parent) as new:
            content.write(new)
            _carry_over(content, folder, new)
            return exchange(new, folder)
    except OSError as error:
        if error.errno in _FULL:
            raise
        return False  # the user's files cannot be linked, or the parent folder is not writable


def _carry_over(content: FolderContent, old: Path, new: Path, inside: str = "") -> None:
    """Link the user's own files in folder `inside` of `old` into `new`, with the folder's owner, mode and times."""
    with os.scandir(old / inside) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            target = new / name
            if is_temporary(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.stat().st_dev != old.stat().st_dev:
                    raise OSError(errno.EXDEV, "a mount point cannot be moved")
                target.mkdir(exist_ok=True)
                _carry_over(content, old, new, f"{name}/")
            elif content.is_own(name):
                if target.is_dir() and content.only_kept(name):
                    remove_tree(target)
                target.unlink(missing_ok=True)
                os.link(entry.path, target, follow_symlinks=False)
    status = (old / inside).stat()
    with contextlib.suppress(OSError):
        os.chown(new / inside, status.st_uid, status.st_gid)
    shutil.copystat(old / inside, new / inside)


def _replace_files(content: FolderContent, folder: Path) -> None:
    """Replace the files of `folder` one by one, after writing all of them under other names."""
    with locked(folder):
        _finish(folder)
        with temporary_folder(folder) as staging:
            new = {name: data for name, data in content.files.items() if not _stays(content, folder, name)}
            for name in new:
                _check_place(folder, name)
            (staging / "files").mkdir()
            (staging / "former").mkdir()
            FolderContent(new).write(staging / "files")
            for name in content.former:
                if name not in new:
                    (staging / "former" / name).touch()
            staging.rename(folder / _COMMIT)
        _finish(folder)


def _stays(content: FolderContent, folder: Path, name: str) -> bool:
    """Return whether a file exists that is not replaced, or a file of the user in the place of its folder."""
    parents = [folder / parent for parent in PurePosixPath(name).parents]
    blocked = any(os.path.lexists(parent) and not parent.is_dir() for parent in parents)
    return name in content.kept and (blocked or os.path.lexists(folder / name))


def _check_place(folder: Path, name: str) -> None:
    """Raise Ai8xError if no file can be moved to `name` in `folder`."""
    if (folder / name).is_dir() and not (folder / name).is_symlink():
        raise Ai8xError(
            f"{name} is a folder, but a generated file has the same name", where=str(folder), fix="rename the folder"
        )
    for parent in PurePosixPath(name).parents:
        if os.path.lexists(folder / parent) and not (folder / parent).is_dir():
            raise Ai8xError(
                f"{parent} is a file, but a generated folder has the same name",
                where=str(folder),
                fix="rename the file",
            )


def _finish(folder: Path) -> None:
    commit, files, former = (folder / _COMMIT / name for name in ("", "files", "former"))
    if not commit.is_dir() or any(path.is_symlink() for path in (commit, files, former)):
        remove_tree(commit)  # not created by :func:`write_folder`
        return
    for path in sorted(files.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            target = folder / path.relative_to(files)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    for path in former.iterdir() if former.is_dir() else ():
        (folder / path.name).unlink(missing_ok=True)
    remove_tree(commit)
