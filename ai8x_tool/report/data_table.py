"""The table of classes that ``ai8x new`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ai8x_tool.report.columns import Table, table_of

_SPLITS = ("train", "validation", "test")
_MOST_ROWS = 40


def data_table(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Table:
    """Return the number of samples of each class by split."""
    rows = [
        (name, *(f"{counts[split][number]:,}" for split in _SPLITS)) for number, name in enumerate(classes[:_MOST_ROWS])
    ]
    if len(classes) > _MOST_ROWS:
        rows.append((f"… {len(classes) - _MOST_ROWS} more", "", "", ""))
    rows.append(("all", *(f"{sum(counts[split]):,}" for split in _SPLITS)))
    return table_of(("class", "training", "validation", "test"), rows)
