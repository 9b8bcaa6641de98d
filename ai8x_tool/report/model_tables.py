"""Tables of a model's layers, weights and value ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ai8x_tool.report.columns import Table, table_of

if TYPE_CHECKING:
    from ai8x_tool.model.facts import LayerWork, WeightTensor
    from ai8x_tool.quantization.quantize import LayerReport
    from ai8x_tool.training.clipping import LayerClipping


def work_table(rows: Sequence[LayerWork], title: str) -> Table:
    """Return a table of shapes, parameters and multiply-accumulate operations of every layer, and their sums."""
    headings = ("layer", "type", "input", "output", "weights", "biases", "MACs")
    sums = (sum(getattr(row, key) for row in rows) for key in ("weights", "biases", "macs"))
    cells = [
        (row.name, row.kind, _shape(row.input), _shape(row.output), *map(_number, (row.weights, row.biases, row.macs)))
        for row in rows
    ]
    cells.append(("total", "", "", "", *map(_number, sums)))
    return table_of(headings, cells, title=title, texts=2, ranks={"input": 2, "biases": 1})


def modules_table(rows: Sequence[tuple[str, str]], title: str) -> Table:
    """Return a table of the names and types of modules."""
    return table_of(("module", "type"), rows, title=title, texts=2)


def sparsity_table(rows: Sequence[WeightTensor], title: str) -> Table:
    """Return a table of the weight tensors, their share of zeros and the distribution of their values."""
    headings = ("weights", "shape", "elements", "zeros", "std", "mean", "mean |w|")
    cells = []
    for row in rows:
        spread = (f"{value:.5f}" for value in (row.deviation, row.mean, row.magnitude))
        cells.append((row.name, _shape(row.shape), _number(row.elements), _percent(row.sparsity), *spread))
    elements = sum(row.elements for row in rows)
    zeros = sum(row.sparsity * row.elements for row in rows) / max(1, elements)
    cells.append(("total", "", _number(elements), _percent(zeros), "", "", ""))
    return table_of(headings, cells, title=title, ranks={"mean": 2, "std": 3, "mean |w|": 1})


def clipping_table(rows: Sequence[LayerClipping], title: str) -> Table:
    """Return a table of the shares of clipped weights and of values at the ends of their range."""
    headings = ("layer", "bits", "weights clipped", "weights at limits", "outputs at limits")
    cells = []
    for row in rows:
        shares = (row.weights_clipped, row.weights_at_limits, row.outputs_at_limits)
        bits = "" if row.weight_bits is None else str(row.weight_bits)
        cells.append((row.name, bits, *("" if share is None else _percent(share) for share in shares)))
    return table_of(headings, cells, title=title)


def quantization_table(rows: Sequence[LayerReport]) -> Table:
    """Return a table of bits, shift, largest weight and share of clipped weights of every layer."""
    cells = []
    for row in rows:
        shift = "–" if row.output_shift is None else f"{row.output_shift:.0f}"
        cells.append((row.key, str(row.bits), shift, f"{row.largest:.4f}", _percent(row.saturated)))
    return table_of(("weights", "bits", "output shift", "largest", "at the limits"), cells)


def _number(value: int) -> str:
    return f"{value:,}"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
