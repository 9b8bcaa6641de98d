"""The table of classes that ``ai8x new`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

_SPLITS = ("train", "validation", "test")
_MOST_ROWS = 40


def data_table(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Table:
    """Return the number of samples of each class by split."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    for heading in ("training", "validation", "test"):
        table.add_column(heading, justify="right")
    for number, name in enumerate(classes[:_MOST_ROWS]):
        table.add_row(name, *(f"{counts[split][number]:,}" for split in _SPLITS))
    if len(classes) > _MOST_ROWS:
        table.add_row(f"… {len(classes) - _MOST_ROWS} more")
    table.add_section()
    table.add_row("all", *(f"{sum(counts[split]):,}" for split in _SPLITS))
    return table
