"""Text from outside in messages: names, paths and the words of other programs, kept on one line."""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""Return `text` on one line; what does not print is shown as Python writes it: ``\n``, ``\x1b``, ``\udcff``.

    That is control characters, line breaks, marks that change the direction of writing, and bytes of file names that
    are not UTF-8. Everything else, non-ASCII letters included, stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
