"""Plain tables whose names and numbers are never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len

from ai8x_tool.text import one_line

_SPACE = 2


@dataclass(frozen=True)
class Column:
    """A heading and one text for each row; numbers are aligned to the right."""

    heading: str
    cells: tuple[str, ...]
    right: bool = True

    @property
    def width(self) -> int:
        """Cells of a terminal that the column takes."""
        return max(cell_len(text) for text in (self.heading, *self.cells))

    def text(self, row: int) -> str:
        """Return the text of a row, the heading for −1, filled with spaces."""
        text = self.heading if row < 0 else self.cells[row]
        space = " " * (self.width - cell_len(text))
        return space + text if self.right else text + space


def table_width(columns: Sequence[Column], space: int = _SPACE) -> int:
    """Return the width of a table with `space` between its columns."""
    return sum(column.width + space for column in columns) - space


def table_lines(columns: Sequence[Column], above: Sequence[str] = (), *, space: int = _SPACE) -> Iterator[str]:
    """Yield the lines of a table: headings, then the rows, each below its line of `above`, where there are any."""
    separator = " " * space
    indent = separator if above else ""
    yield (indent + separator.join(column.text(-1) for column in columns)).rstrip()
    for row in range(len(columns[0].cells)):
        if above:
            yield above[row]
        yield (indent + separator.join(column.text(row) for column in columns)).rstrip()


def side_by_side(rows: Sequence[tuple[str, Sequence[str]]], width: int) -> Iterator[str]:
    """Yield labels and one text for each of several things; long texts are continued on the next line."""
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
