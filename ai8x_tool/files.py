"""Writing files completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ai8x_tool.errors import Ai8xError


def write_file(data: bytes, path: Path, *, fix: str = "choose another place") -> None:
    """Write `data` to `path` by way of a temporary file beside it. Raises Ai8xError with the reason and `fix`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error, fix=fix) from None
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError, *, fix: str = "choose another place") -> Ai8xError:
    """Return the error for a file or folder that cannot be written."""
    return Ai8xError(f"cannot be written: {error.strerror or error}", where=str(path), fix=fix)
