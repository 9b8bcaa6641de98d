"""Plot of a graph of operators. Requires matplotlib, which is optional."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ai8x_tool.training.plots import new_figure, png

_COLUMN, _ROW = 2.4, 0.62  # inches


@dataclass(frozen=True)
class GraphNode:
    """A box of the plot, and the names of its inputs and outputs. `plain` boxes have no frame."""

    label: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    plain: bool = False


def draw_graph(nodes: Sequence[GraphNode], title: str) -> bytes:
    """Return a PNG of `nodes`, which are in the order of computation, from top to bottom."""
    rows = _rows(nodes)
    places = _places(nodes, rows)
    width = 2 * max(abs(x) for x, _ in places) + _COLUMN
    figure, (axes,) = new_figure(width, (max(rows) + 2) * _ROW, rows=1)
    axes.set_axis_off()
    axes.set_title(title)
    axes.set_xlim(-width / 2, width / 2)
    axes.set_ylim(-(max(rows) + 0.5) * _ROW, 0.5 * _ROW)
    for node, place in zip(nodes, places, strict=True):
        frame = None if node.plain else {"boxstyle": "round", "facecolor": "#e8eef7", "edgecolor": "#4a6fa5"}
        color = "dimgray" if node.plain else "black"
        axes.text(*place, node.label, ha="center", va="center", fontsize=8, color=color, bbox=frame, zorder=2)
    _draw_edges(axes, nodes, rows, places)
    return png(figure)


def _rows(nodes: Sequence[GraphNode]) -> list[int]:
    """Return the row of each node: below the lowest of its sources or, without any, above its first user."""
    made: dict[str, int] = {}
    rows = []
    for node in nodes:
        row = max((made[name] + 1 for name in node.inputs if name in made), default=0)
        rows.append(row)
        made |= dict.fromkeys(node.outputs, row)
    for index, node in enumerate(nodes):
        users = [row for user, row in zip(nodes, rows, strict=True) if set(node.outputs) & set(user.inputs)]
        if not node.inputs and users:
            rows[index] = max(0, min(users) - 1)
    return rows


def _places(nodes: Sequence[GraphNode], rows: Sequence[int]) -> list[tuple[float, float]]:
    """Return the center of each box: a row's operators are centered, nodes without inputs are to their right."""
    operators, others = Counter[int](), Counter[int]()
    for node, row in zip(nodes, rows, strict=True):
        operators[row] += bool(node.inputs) or row == 0
    columns, seen = [], Counter[int]()
    for node, row in zip(nodes, rows, strict=True):
        middle = (operators[row] - 1) / 2
        if node.inputs or row == 0:
            columns.append(seen[row] - middle)
            seen[row] += 1
        else:
            others[row] += 1
            columns.append(max(middle, 0) + others[row])
    return [(column * _COLUMN, -row * _ROW) for column, row in zip(columns, rows, strict=True)]


def _draw_edges(
    axes: Any, nodes: Sequence[GraphNode], rows: Sequence[int], places: Sequence[tuple[float, float]]
) -> None:
    sources = {name: index for index, node in enumerate(nodes) for name in node.outputs}
    for index, node in enumerate(nodes):
        for source in {sources[name] for name in node.inputs if name in sources}:
            around = rows[index] - rows[source] > 1 and places[index][0] == places[source][0]
            style = {
                "arrowstyle": "->",
                "color": "gray",
                "shrinkA": 9,
                "shrinkB": 9,
                "connectionstyle": f"arc3,rad={0.35 if around else 0}",
            }
            axes.annotate("", places[index], places[source], arrowprops=style, zorder=1)
