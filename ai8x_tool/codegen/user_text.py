"""Escaping of users' text in generated files, with one function for each language.

Names of layers, networks, checkpoints and projects may contain anything. Templates get them as :class:`UserText`, which
is not a string: rendering fails unless the template applies the filter of the language that the text is inserted into.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ai8x_tool.text import decode_surrogates, one_line, utf8
from ai8x_tool.text import markdown as plain_markdown

_LAST_ASCII = 0x7E


class UserText:
    """Text that must not be inserted into a generated file without escaping."""

    def __init__(self, raw: str) -> None:
        self._raw = decode_surrogates(raw)  # sandboxed templates cannot read attributes that begin with an underscore

    def __str__(self) -> str:
        raise TypeError(f"text from the user needs one of the filters {', '.join(LANGUAGES)}")


def c_comment(text: UserText) -> str:
    """Return `text` for a block comment in C or a comment in a makefile: one line that does not end the comment."""
    ended = re.sub(r"\*(?=/)", "* ", one_line(text._raw))
    return re.sub(r"/(?=\*)", "/ ", ended)


def c_string(text: UserText) -> str:
    """Return `text` for a string literal in C, without the quotes; the program gets its UTF-8 bytes."""
    literal = "".join(map(_c_character, utf8(text._raw)))
    return re.sub(r"(?<=\?)\?", r"\\?", literal)  # two question marks may begin a trigraph


def _c_character(code: int) -> str:
    if chr(code) in '"\\':
        return f"\\{chr(code)}"
    return chr(code) if ord(" ") <= code <= _LAST_ASCII else f"\\{code:03o}"


def printf_format(text: UserText) -> str:
    """Return `text` for a format string of ``printf()``, without the quotes, so that it is printed unchanged."""
    return c_string(UserText(text._raw.replace("%", "%%")))


def file_word(text: UserText) -> str:
    """Return `text` as a word for file names in makefiles, the shell and JSON: letters, digits and ``_+-.`` only."""
    return re.sub(r"[^\w.+-]", "_", text._raw)


def markdown(text: UserText) -> str:
    """Return `text` on one line, with the special characters of Markdown and HTML escaped."""
    return plain_markdown(text._raw)


LANGUAGES: dict[str, Callable[[UserText], str]] = {
    function.__name__: function for function in (c_comment, c_string, printf_format, file_word, markdown)
}
"""The filters of templates."""


def refuse_user_text(value: object) -> object:
    """Return a value that a template inserts. Raises TypeError for user text that no filter has escaped."""
    return str(value) if isinstance(value, UserText) else value
