"""Standard streams of a command, which accept any text and handle write errors."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from ai8x_tool.text import ASCII

_ERRORS = "ai8x-any-text"
_ESCAPED_BYTES = range(0xDC80, 0xDD00)
"""Surrogates by which Python represents bytes of file names that are not in the system's encoding."""


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the replacement of the first character that cannot be encoded, and the position to continue at."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if ord(character) in _ESCAPED_BYTES:
        return bytes([ord(character) - _ESCAPED_BYTES.start + 0x80]), error.start + 1
    plain = character.translate(ASCII)
    return plain if plain.isascii() else ascii(character)[1:-1], error.start + 1


codecs.register_error(_ERRORS, _replace)


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Prepare standard output and error output for a command, which ends with SystemExit.

    Characters that cannot be encoded are replaced. If results cannot be written, one line reports this and the exit
    status is 1; a closed pipe is not reported. Output to closed streams is lost.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)
    failed = True
    try:
        yield
        failed = False
    except SystemExit as end:
        failed = end.code not in (None, 0)
        raise
    except OSError as error:  # for example, help text that cannot be written
        _report(error)
        raise SystemExit(1) from None
    finally:
        _flush(quiet=failed)


def _open_closed_streams() -> None:
    """Open closed standard streams, so that no other file gets their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _flush(*, quiet: bool) -> None:
    with _abandoned(sys.stderr):
        sys.stderr.flush()
    try:
        with _abandoned(sys.stdout):
            sys.stdout.flush()
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:
        if not quiet:
            _report(error)
        raise SystemExit(1) from None


def _report(error: OSError) -> None:
    if not isinstance(error, BrokenPipeError):
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: {error.filename or 'standard output'}: {error.strerror or error}\n")


@contextlib.contextmanager
def _abandoned(stream: TextIO) -> Iterator[None]:
    """If `stream` cannot be written, redirect it to nowhere, because the interpreter flushes it again at exit."""
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        if stream is sys.stdout:
            raise
