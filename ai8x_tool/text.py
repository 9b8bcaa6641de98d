"""Handling of external text in messages: names, paths and output of other programs."""

from __future__ import annotations

import os
import re

ASCII = str.maketrans(
    {
        **{"→": "->", "×": "x", "±": "+/-", "µ": "u", "−": "-", "–": "-", "…": "...", "·": "*"},
        **{"≡": "=", "≈": "~", "≤": "<=", "≥": ">="},
    }
)
"""Table for ``str.translate()`` that replaces non-ASCII characters in the tool's own texts."""


_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that do not represent a byte."""


def utf8(text: str) -> bytes:
    """Return `text` in UTF-8; surrogates that represent bytes of names become these bytes."""
    return _NO_BYTES.sub("\ufffd", text).encode("utf-8", "surrogateescape")


def is_unicode(text: str) -> bool:
    """Return whether `text` can be encoded: it has no surrogates for bytes of names that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def decode_surrogates(text: str) -> str:
    """Return `text` with UTF-8 characters in place of surrogates, which systems with other encodings produce."""
    return text if text.isascii() else utf8(text).decode("utf-8", "surrogateescape")


def one_line(text: str) -> str:
    r"""Return `text` on one line, with unprintable characters escaped as in Python: ``\n``, ``\x1b``, ``\udcff``.

    These are control characters, line breaks, marks that change the direction of writing, and bytes of file names that
    are not UTF-8. All other characters, including non-ASCII letters, are unchanged.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in decode_surrogates(text))


def printable(text: str) -> str:
    """Return `text` with :func:`one_line` applied to each of its lines; tabs are kept."""
    return "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text.split("\n"))


def markdown(text: str) -> str:
    """Return `text` on one line, with the special characters of Markdown and HTML escaped."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", one_line(" ".join(text.split())))


def counted(number: int, what: str) -> str:
    """Return a number with a noun, in the plural if necessary: ``1 tensor`` or ``2 tensors``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def from_here(text: str) -> str:
    """Return `text` with paths below the current folder made relative to it."""
    try:
        here = os.getcwd()  # noqa: PTH109  (may be a folder that was removed)
    except OSError:
        return text
    if len(here) < 2 or here not in text:
        return text
    return re.sub(rf"(?<![\w/.~-]){re.escape(here)}/(?=\S)", "", text)
