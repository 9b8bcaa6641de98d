"""Text of users in generated files: for each language one function that makes it harmless there.

Names of layers, networks, checkpoints and projects may hold anything. Templates get them as :class:`UserText`, which is
no string: rendering fails unless a template says, by a filter, what language the text enters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ai8x_tool.text import markdown as plain_markdown
from ai8x_tool.text import one_line, utf8, whole

_LAST_ASCII = 0x7E


class UserText:
    """Text that must not enter a generated file as it is."""

    def __init__(self, raw: str) -> None:
        self._raw = whole(raw)  # templates are sandboxed: they see no attribute that begins with an underscore

    def __str__(self) -> str:
        raise TypeError(f"text of the user needs one of the filters {', '.join(LANGUAGES)}")


def c_comment(text: UserText) -> str:
    """Return `text` for a block comment in C, or a comment in a makefile: one line that neither ends nor begins any."""
    ended = re.sub(r"\*(?=/)", "* ", one_line(text._raw))
    return re.sub(r"/(?=\*)", "/ ", ended)


def c_string(text: UserText) -> str:
    """Return `text` for a string literal in C, without the quotes; the program gets the bytes of its UTF-8 form."""
    literal = "".join(map(_c_character, utf8(text._raw)))
    return re.sub(r"(?<=\?)\?", r"\\?", literal)  # two question marks may begin a trigraph


def _c_character(code: int) -> str:
    if chr(code) in '"\\':
        return f"\\{chr(code)}"
    return chr(code) if ord(" ") <= code <= _LAST_ASCII else f"\\{code:03o}"


def printf_format(text: UserText) -> str:
    """Return `text` for a literal that is a format of ``printf()``, without the quotes: it prints as itself."""
    return c_string(UserText(text._raw.replace("%", "%%")))


def file_word(text: UserText) -> str:
    """Return `text` as a word for file names in makefiles, the shell and JSON: letters, digits and ``_+-.`` only."""
    return re.sub(r"[^\w.+-]", "_", text._raw)


def markdown(text: UserText) -> str:
    """Return `text` on one line, without what Markdown or HTML would take for its own."""
    return plain_markdown(text._raw)


LANGUAGES: dict[str, Callable[[UserText], str]] = {
    function.__name__: function for function in (c_comment, c_string, printf_format, file_word, markdown)
}
"""The filters of templates."""


def refuse_user_text(value: object) -> object:
    """Return what a template shows. Raises TypeError for user text that no filter has made fit for its language."""
    return str(value) if isinstance(value, UserText) else value
