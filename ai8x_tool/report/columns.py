"""Tables of any width: columns that do not fit are shortened or left out; names and numbers are never truncated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import NamedTuple

from rich.cells import cell_len

from ai8x_tool.text import ASCII, one_line

_SPACE = 2
_LEAST_TEXT = 20
"""Minimum width of running text, in cells; other columns are left out for it."""


@dataclass(frozen=True)
class Column:
    """A heading and one text for each row; numbers are aligned to the right.

    `short` and `short_heading` are abbreviated texts. If space is short, columns with the highest `rank` are left out
    first, those of rank 0 never. Running text (`wrapped`) is continued on further lines; it is the last column.
    """

    heading: str
    cells: tuple[str, ...]
    right: bool = True
    rank: int = 0
    short: tuple[str, ...] = ()
    short_heading: str = ""
    wrapped: bool = False

    @property
    def width(self) -> int:
        """Width of the column in terminal cells."""
        return max(cell_len(text) for text in (self.heading, *self.cells))

    def text(self, row: int) -> str:
        """Return the text of a row, or the heading for −1, padded with spaces."""
        text = self.heading if row < 0 else self.cells[row]
        space = " " * (self.width - cell_len(text))
        return space + text if self.right else text + space

    def plain(self) -> Column:
        """Return the column with the tool's own non-ASCII characters replaced by ASCII."""
        return self._each(lambda text: text.translate(ASCII))

    def one_line(self) -> Column:
        """Return the column without control characters."""
        return self._each(one_line)

    def shortened(self) -> Column:
        """Return the column with its short texts."""
        return replace(self, cells=self.short or self.cells, heading=self.short_heading or self.heading)

    def _each(self, change: Callable[[str], str]) -> Column:
        cells, short = (tuple(map(change, texts)) for texts in (self.cells, self.short))
        heading, short_heading = change(self.heading), change(self.short_heading)
        return replace(self, heading=heading, cells=cells, short=short, short_heading=short_heading)


class Line(NamedTuple):
    """A line of a table, and whether it is a heading."""

    text: str
    heading: bool = False


@dataclass(frozen=True)
class Table:
    """Columns under an optional title; without headings where no column has one.

    With `keep`, texts move above the numbers before a column is left out.
    """

    columns: tuple[Column, ...]
    title: str = ""
    keep: bool = False

    def lines(self, width: int | None = None, *, plain: bool = False) -> Iterator[Line]:
        """Yield the lines for a terminal of `width` cells; None means no limit, as in files and pipes.

        With `plain`, the tool's own texts are ASCII. Columns that are left out are named at the end.
        """
        columns = [column.one_line() for column in self.columns]
        columns = [column.plain() for column in columns] if plain else columns
        if self.title:
            title = one_line(self.title)
            yield Line(title.translate(ASCII) if plain else title, heading=True)
        if not columns or not columns[0].cells:
            return
        layout = fit(columns, width, keep=self.keep)
        yield from layout.lines(width)
        left_out = [c.heading for c in columns if not {c.heading, c.short_heading} & {*layout.headings}]
        if left_out:
            yield from map(Line, wrap(f"(no room for: {', '.join(left_out)})", max(20, width or 0)))


@dataclass(frozen=True)
class Layout:
    """The columns that are shown. If `stacked`, the first column and the running text have lines of their own."""

    columns: tuple[Column, ...]
    space: int = _SPACE
    stacked: bool = False

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings of the columns that are shown."""
        return tuple(column.heading for column in self.columns)

    def lines(self, width: int | None) -> Iterator[Line]:
        """Yield heading and rows."""
        first, *rest = self.columns
        names = [column for column in self.columns if column is first or not column.right] if self.stacked else []
        shown = [column for column in rest if column.right] if self.stacked else list(self.columns)
        indent = " " * self.space if self.stacked else ""
        if any(column.heading for column in shown):
            yield Line(indent + self._row(shown, -1), heading=True)
        for row in range(len(first.cells)):
            if self.stacked:
                named = ": ".join(column.cells[row] for column in names if column.cells[row])
                yield from map(Line, _wrapped(named, width, "", indent))
            text = self._row(shown, row)
            if text:
                lines = [text] if self.stacked else self._lines(row, width)
                yield from (Line(indent + line) for line in lines)

    def _row(self, columns: Sequence[Column], row: int) -> str:
        return (" " * self.space).join(column.text(row) for column in columns).rstrip()

    def _lines(self, row: int, width: int | None) -> list[str]:
        """Return the lines of a row; running text in its last column is continued below."""
        *others, last = self.columns
        if width is None or not last.wrapped:
            return [self._row(self.columns, row)]
        before = self._row(others, row)
        indent = " " * (table_width(others, self.space) + self.space if others else 0)
        lines = _wrapped(last.cells[row], width, indent)
        return [(before + lines[0][cell_len(before) :]).rstrip(), *lines[1:]] if before else lines


def fit(columns: Sequence[Column], width: int | None, *, keep: bool = False) -> Layout:
    """Return the layout that shows as much of `columns` as fits in `width`; see :class:`Table`."""
    shown = tuple(columns)
    if width is None:
        return Layout(shown)
    if _needed(shown, _SPACE) <= width:
        return Layout(shown)
    shown = tuple(column.shortened() for column in shown)
    for rank in sorted({column.rank for column in shown}, reverse=True):
        for space in (_SPACE, 1):
            if _needed(shown, space) <= width:
                return Layout(shown, space)
        if keep:
            break
        if rank:
            shown = tuple(column for column in shown if column.rank < rank)
    return _stacked(columns, width)


def _stacked(columns: Sequence[Column], width: int) -> Layout:
    """Return the layout with names above numbers, and as many number columns as fit."""
    shown = tuple(column for column in columns if column.right or not column.rank)
    for rank in sorted({column.rank for column in shown if column.rank}, reverse=True):
        if _SPACE + table_width([column for column in shown[1:] if column.right]) <= width:
            break
        shown = tuple(column for column in shown if column.rank < rank)
    return Layout(shown, stacked=True)


def _needed(columns: Sequence[Column], space: int) -> int:
    """Return the minimum width of the columns."""
    widths = [min(column.width, _least(column)) if column.wrapped else column.width for column in columns]
    return sum(widths) + space * (len(widths) - 1)


def _least(column: Column) -> int:
    return max(
        _LEAST_TEXT, cell_len(column.heading), *(cell_len(word) for text in column.cells for word in text.split())
    )


def table_width(columns: Sequence[Column], space: int = _SPACE) -> int:
    """Return the width of a table with `space` between its columns."""
    return sum(column.width + space for column in columns) - space


def _wrapped(text: str, width: int | None, indent: str, further: str | None = None) -> list[str]:
    """Return `text` wrapped at words to `width`: the first line after `indent`, the others after `further`."""
    if width is None:
        return [indent + text]
    further = indent if further is None else further
    return wrap(
        text,
        max(width, len(indent) + 1),
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def table_of(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    texts: int = 1,
    wrapped: bool = False,
    ranks: Mapping[str, int] | None = None,
) -> Table:
    """Return a table of `rows`. Its first `texts` columns are texts; with `wrapped`, the last is running text.

    `ranks` are the ranks of columns that may be left out, by heading.
    """
    columns = [
        Column(
            heading,
            tuple(row[number] for row in rows),
            right=number >= texts and not (wrapped and number == len(headings) - 1),
            wrapped=wrapped and number == len(headings) - 1,
            rank=(ranks or {}).get(heading, 0),
        )
        for number, heading in enumerate(headings)
    ]
    return Table(tuple(columns), title)


def side_by_side(rows: Sequence[tuple[str, Sequence[str]]], width: int) -> Iterator[str]:
    """Yield rows of a label and one text for each item that is compared; long texts continue on the next line."""
    label = max(cell_len(text) for text, _ in rows) + _SPACE
    count = max(len(texts) for _, texts in rows)
    room = max(16, (width - label) // max(1, count) - _SPACE)
    for name, texts in rows:
        cells = [wrap(one_line(text), room, break_long_words=False, break_on_hyphens=False) or [""] for text in texts]
        for number in range(max(len(cell) for cell in cells)):
            line = f"{name if number == 0 else '':<{label}}"
            for cell in cells:
                text = cell[number] if number < len(cell) else ""
                line += text + " " * (max(0, room - cell_len(text)) + _SPACE)
            yield line.rstrip()


def short_operator(text: str) -> str:
    """Return an operator text without the activation and the kind of pooling."""
    parts = ["pool" if "pool" in part else part for part in text.split(" + ")]
    kept = [part for part in parts if part not in ("ReLU", "Abs", "flatten")] or parts
    return " + ".join(kept)
