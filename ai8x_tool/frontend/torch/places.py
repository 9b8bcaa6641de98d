"""Where in the user's files a model's operation is called."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from traceback import walk_stack
from types import CodeType

import torch

_PACKAGE = str(Path(__file__).resolve().parents[2])
_TORCH = str(Path(torch.__file__).resolve().parent)


def calling_line(within: CodeType | None = None) -> str:
    """Return file:line of the innermost call that is neither in torch nor in this package; empty if there is none.

    Only calls that were made `within` a function, directly or not, are considered, if its code is given.
    """
    frames = takewhile(lambda call: call[0].f_code is not within, walk_stack(sys._getframe(1)))
    return users_line((frame.f_code.co_filename, line) for frame, line in frames)


def users_line(frames: Iterable[tuple[str, int]], *, whole: bool = False) -> str:
    """Return the first of `frames`, file and line, that is neither in torch nor in this package.

    The file's path is relative to the working folder if it is in there, unless the `whole` path is wanted.
    """
    for name, line in frames:
        if not name.startswith((_PACKAGE, _TORCH, "<")):
            return f"{name if whole else _shown(name)}:{line}"
    return ""


def _shown(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name
