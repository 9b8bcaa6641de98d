"""Atomic writing of files and folders: they appear complete or not at all.

Everything is written under a temporary name in the target's folder, which the writer keeps locked, and then moved.
Temporary files without a lock are left over from processes that were killed; the next writer in that folder removes
them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ai8x_tool.errors import Ai8xError

_PREFIX, _SUFFIX = ".ai8x-", ".tmp"
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of ``renameat2()``."""


def expand(path: str | Path) -> Path:
    """Return `path` with ``~`` and ``~user`` replaced. Raises Ai8xError if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise Ai8xError("the home directory of this user is not known", where=str(path)) from None


def resolved_path(path: Path) -> Path:
    """Return `path` absolute and without symbolic links, except loops of links."""
    return Path(os.path.realpath(path))


def unwritable(path: Path, error: OSError | ValueError) -> Ai8xError:
    """Return the error for a file or folder that cannot be written."""
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return Ai8xError(f"cannot be written: {reason}", where=str(path), fix="check free space and permissions")


def write_file(data: bytes | memoryview, path: Path) -> None:
    """Write `path` completely or not at all; folders above it are created.

    Symbolic links are followed. A file that exists keeps its permissions; only regular files are replaced. Raises
    Ai8xError for anything else at `path`, and if there is no space or permission.
    """
    with staged_file(data, path):
        pass


@contextlib.contextmanager
def staged_file(data: bytes | memoryview, path: Path) -> Iterator[None]:
    """Write a file like :func:`write_file`, but let it appear only at the end of the block, and only if nothing fails.

    Thus a result of several files is not left incomplete: errors in writing occur before the block.
    """
    with _as_unwritable(path):
        before = _existing(path)
        target = resolved_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary, descriptor = _create(target.parent, _create_file)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with _as_unwritable(path):
                file.write(data)
                file.flush()
                if before is not None:
                    _restore(descriptor, before)
            yield
            with _as_unwritable(path):
                _move(temporary, target, data)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def check_file(path: Path) -> None:
    """Raise Ai8xError if no file can be written to `path`; nothing is changed."""
    with _as_unwritable(path):
        _existing(path)
        folder = next(parent for parent in resolved_path(path).parents if os.path.lexists(parent))
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        temporary, descriptor = _create(folder, _create_file)  # some folders reject files although they appear writable
        os.close(descriptor)
        temporary.unlink()


def _existing(path: Path) -> os.stat_result | None:
    """Return the status of the file that is to be replaced, None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise Ai8xError(f"cannot be written: it is {what}", where=str(path), fix="specify the name of a file")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return status


def _move(temporary: Path, target: Path, data: bytes | memoryview) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        target.write_bytes(data)  # a mount point cannot be replaced by another file


def _restore(descriptor: int, before: os.stat_result) -> None:
    with contextlib.suppress(OSError):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, before.st_mode & 0o777)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Provide an empty folder in `parent`; files that are not moved out of it are removed at the end."""
    folder, descriptor = _create(parent, _create_folder)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(descriptor)


def _create_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _create_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _create(parent: Path, create: Callable[[Path], int]) -> tuple[Path, int]:
    """Create and lock something with a temporary name in `parent`; return its path and descriptor."""
    remove_leftovers(parent)
    while True:
        path = parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        descriptor = create(path)
        if _lock(descriptor) and os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another process has removed it as a leftover before it was locked


def _lock(descriptor: int) -> bool:
    """Lock an open file. Return False if another process holds the lock; True also if the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Prevent other processes from changing `folder`. Raises Ai8xError if one is changing it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _lock(descriptor):
            raise Ai8xError("another process is writing there", where=str(folder), fix="wait until it has finished")
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes of this user have left in `folder`."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(entry.name):
                _remove_leftover(Path(entry.path))


def is_temporary(name: str) -> bool:
    """Return whether `name` is that of a temporary file or folder."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def _remove_leftover(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
        finally:
            os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder with all its content, even if folders in it are write-protected."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = Path(folder, name)
            if not inner.is_symlink() and not os.access(inner, os.R_OK | os.W_OK | os.X_OK):
                with contextlib.suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def exchange(first: Path, second: Path) -> bool:
    """Swap two files or folders atomically. Return False if the system or the file system does not support this."""
    function = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(first), os.fsencode(second)
    return function is not None and function(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0
