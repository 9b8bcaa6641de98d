"""Reader of text files of limited size."""

from __future__ import annotations

import stat
from pathlib import Path

from ai8x_tool.errors import Ai8xError


def require_regular(path: Path, most_bytes: int) -> int:
    """Return the size of a file. Raises Ai8xError if it does not exist, is not a regular file or is too large."""
    where = str(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Ai8xError("file not found", where=where) from None
    except (OSError, ValueError) as error:
        raise Ai8xError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=where) from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise Ai8xError(f"cannot be read: it is {what}", where=where)
    if status.st_size > most_bytes:
        raise Ai8xError(f"has {status.st_size:,} bytes; the limit is {most_bytes:,}", where=where)
    return status.st_size


def read_text(path: Path, most_bytes: int) -> str:
    """Return the text of a UTF-8 file. Raises Ai8xError for other files, and for more than `most_bytes` bytes."""
    require_regular(path, most_bytes)
    try:
        with path.open("rb") as file:
            return file.read(most_bytes).decode("utf-8-sig")
    except OSError as error:
        raise Ai8xError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except UnicodeDecodeError as error:
        text = f"cannot be read: byte {error.start} (0x{error.object[error.start]:02x}) is not UTF-8"
        raise Ai8xError(text, where=str(path), fix="save the file as UTF-8") from None
