"""Text from outside in messages: names, paths and the words of other programs."""

from __future__ import annotations

import os
import re

ASCII = str.maketrans(
    {
        **{"→": "->", "×": "x", "±": "+/-", "µ": "u", "−": "-", "–": "-", "…": "...", "·": "*"},
        **{"≡": "=", "≈": "~", "≤": "<=", "≥": ">="},
    }
)
"""For ``str.translate()``: the signs of the tool's own texts in plain ASCII."""


_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte."""


def utf8(text: str) -> bytes:
    """Return `text` in UTF-8. Bytes of names that Python holds as surrogates become themselves again."""
    return _NO_BYTES.sub("\ufffd", text).encode("utf-8", "surrogateescape")


def is_unicode(text: str) -> bool:
    """Return whether every file can hold `text`: it has no bytes of names that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def decode_surrogates(text: str) -> str:
    """Return `text` with UTF-8 characters in the place of their bytes, which a system with another encoding gives."""
    return text if text.isascii() else utf8(text).decode("utf-8", "surrogateescape")


def one_line(text: str) -> str:
    r"""Return `text` on one line; what does not print is shown as Python writes it: ``\n``, ``\x1b``, ``\udcff``.

    That is control characters, line breaks, marks that change the direction of writing, and bytes of file names that
    are not UTF-8. Everything else, non-ASCII letters included, stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in decode_surrogates(text))


def printable(text: str) -> str:
    """Return `text` with the same done to each of its lines; tabs stay."""
    return "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text.split("\n"))


def markdown(text: str) -> str:
    """Return `text` on one line, without what Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", one_line(" ".join(text.split())))


def counted(number: int, what: str) -> str:
    """Return ``1 tensor`` or ``2 tensors``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def from_here(text: str) -> str:
    """Return `text` with the paths of files below the current folder relative to it."""
    try:
        here = os.getcwd()  # noqa: PTH109  (may be a folder that was removed)
    except OSError:
        return text
    if len(here) < 2 or here not in text:
        return text
    return re.sub(rf"(?<![\w/.~-]){re.escape(here)}/(?=\S)", "", text)
