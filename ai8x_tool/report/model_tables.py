"""Tables of a model's layers, weights and number ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from ai8x_tool.model.facts import LayerWork, WeightTensor
    from ai8x_tool.training.clipping import LayerClipping


def work_table(rows: Sequence[LayerWork], title: str) -> Table:
    """Return shapes, parameters and multiply-accumulate operations of every layer, and their sums."""
    table = _table(title, ("layer", "type"), ("input", "output", "weights", "biases", "MACs"))
    for row in rows:
        numbers = (f"{value:,}" for value in (row.weights, row.biases, row.macs))
        table.add_row(row.name, row.kind, _shape(row.input), _shape(row.output), *numbers)
    sums = (sum(getattr(row, key) for row in rows) for key in ("weights", "biases", "macs"))
    table.add_section()
    table.add_row("total", "", "", "", *(f"{value:,}" for value in sums))
    return table


def modules_table(rows: Sequence[tuple[str, str]], title: str) -> Table:
    """Return names and types of modules."""
    table = _table(title, ("module", "type"), ())
    for name, kind in rows:
        table.add_row(name, kind)
    return table


def sparsity_table(rows: Sequence[WeightTensor], title: str) -> Table:
    """Return the weight tensors, their share of zeros and the distribution of their values."""
    table = _table(title, ("weights",), ("shape", "elements", "zeros", "std", "mean", "mean |w|"))
    for row in rows:
        spread = (f"{value:.5f}" for value in (row.deviation, row.mean, row.magnitude))
        table.add_row(row.name, _shape(row.shape), f"{row.elements:,}", _percent(row.sparsity), *spread)
    elements = sum(row.elements for row in rows)
    zeros = sum(row.sparsity * row.elements for row in rows) / max(1, elements)
    table.add_section()
    table.add_row("total", "", f"{elements:,}", _percent(zeros), "", "", "")
    return table


def clipping_table(rows: Sequence[LayerClipping], title: str) -> Table:
    """Return the shares of clipped weights and of values at the ends of their range."""
    table = _table(title, ("layer",), ("bits", "weights clipped", "weights at limits", "outputs at limits"))
    for row in rows:
        shares = (row.weights_clipped, row.weights_at_limits, row.outputs_at_limits)
        bits = "" if row.weight_bits is None else str(row.weight_bits)
        table.add_row(row.name, bits, *("" if share is None else _percent(share) for share in shares))
    return table


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
