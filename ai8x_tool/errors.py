"""The exception for all errors that a user can cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ai8x_tool.text import one_line

_LONGEST = 1000
"""Characters of a message."""


class Ai8xError(Exception):
    """An error that the user can fix: one line that names the problem, its place, the broken rule and a fix.

    The command line prints the message without a traceback and exits with status 1. `code` is the code of the rule,
    under which docs/troubleshooting.md explains it.
    """

    def __init__(self, message: str, *, where: str | None = None, fix: str | None = None, code: str = "") -> None:
        self.message, self.where, self.fix, self.code = message, where, fix, code
        text = f"{where}: {_shortened(message)}" if where else _shortened(message)
        text = f"{text} ({fix})" if fix else text
        super().__init__(one_line(f"{text} [{code}]" if code else text))


@contextmanager
def located(where: str) -> Iterator[None]:
    """Add `where` to errors of the block that name no place."""
    try:
        yield
    except Ai8xError as error:
        if type(error) is not Ai8xError or error.where is not None:
            raise
        raise Ai8xError(error.message, where=where, fix=error.fix, code=error.code) from None


def _shortened(message: str) -> str:
    """Return a message, without its middle if it is very long because it quotes a file."""
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST * 2 // 3]} … {message[-_LONGEST // 3 :]}"


def nearest(name: str, known: list[str]) -> str:
    """Return ``; did you mean 'x'?`` for the entry of `known` closest to `name`, or "" if none is close."""
    import difflib  # noqa: PLC0415  (needed for errors only)

    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    if not close:
        return ""
    return f"; did you mean {next(k for k in known if k.lower() == close[0])!r}?"
