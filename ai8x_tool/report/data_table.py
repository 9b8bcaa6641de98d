"""Table of classes that ``ai8x new`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ai8x_tool.report.columns import Table, table_of

_SPLITS = ("train", "validation", "test")
_MOST_ROWS = 40
_IMAGES_WITH = "images with it"


def data_table(classes: Sequence[str], counts: Mapping[str, Sequence[int]], counted: str = "samples") -> Table:
    """Return a table of the number of each class by split; `counted` names what is counted."""
    rows = [
        (name, *(f"{counts[split][number]:,}" for split in _SPLITS)) for number, name in enumerate(classes[:_MOST_ROWS])
    ]
    if len(classes) > _MOST_ROWS:
        rows.append((f"… {len(classes) - _MOST_ROWS} more", "", "", ""))
    if counted != _IMAGES_WITH:  # an image may contain several classes
        rows.append(("all", *(f"{sum(counts[split]):,}" for split in _SPLITS)))
    name = "class" if counted == "samples" else f"class ({counted})"
    return table_of((name, "training", "validation", "test"), rows)
