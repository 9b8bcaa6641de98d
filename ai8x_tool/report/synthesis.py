"""Summary at the end of ``ai8x synthesize``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ai8x_tool.device import Device
from ai8x_tool.mapping.statistics import LayerStatistics, Statistics
from ai8x_tool.network.network import Network
from ai8x_tool.report.columns import Column, Table, short_operator, table_of
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.text import counted

SCHEMA = "ai8x-synthesize/1"


def synthesis_table(figures: Statistics, device: Device) -> Table:
    """Return a table of the layers with operators, shapes, MACs, cycles and memory."""
    layers = figures.layers

    def column(heading: str, text: Callable[[LayerStatistics], str], rank: int = 0) -> Column:
        return Column(heading, tuple(map(text, layers)), rank=rank)

    operators = tuple(layer.operator for layer in layers)
    columns = (
        Column("layer", tuple(f"{layer.index} {layer.name or ''}".rstrip() for layer in layers), right=False),
        Column("operator", operators, right=False, short=tuple(map(short_operator, operators))),
        column("input", lambda layer: _shape(layer.input_shape), 4),
        column("output", lambda layer: _shape(layer.output_shape)),
        column("MACs", lambda layer: f"{layer.operations.macc:,}", 1),
        column("cycles", lambda layer: f"{layer.cycles:,}"),
        column("weights", lambda layer: f"{layer.weight_bytes:,}"),
        column("bias", lambda layer: f"{layer.bias_bytes:,}", 2),
        column("data in", lambda layer: f"{layer.input_bytes:,}", 3),
        column("data out", lambda layer: f"{layer.output_bytes:,}", 3),
    )
    return Table(columns, f"{device.name}: {counted(len(layers), 'layer')}")


def synthesis_totals(figures: Statistics, device: Device) -> Iterator[str]:
    """Yield the lines with the totals below the table."""
    share = 100 * figures.weight_bytes / figures.weight_total
    yield f"operations: {figures.operations.total:,} ({figures.operations.macc:,} MACs)"
    yield f"kernel memory: {figures.weight_bytes:,} of {figures.weight_total:,} bytes ({share:.1f} %)"
    yield f"bias memory: {figures.bias_bytes:,} of {figures.bias_total:,} bytes"
    yield f"data in/out: bytes in each data memory instance of {device.instance_size:,} bytes, for four processors"
    yield f"inference: {figures.cycles:,} cycles, {figures.microseconds:,.0f} µs ({figures.cycle_basis})"


def _shape(shape: tuple[int, ...]) -> str:
    trimmed = shape[:-1] if shape[-1] == 1 and len(shape) == 3 else shape
    return "×".join(map(str, trimmed))


def checkpoint_table(network: Network) -> Table:
    """Return a table of the parameters of every layer."""
    rows = []
    for layer in network.layers:
        parameters = layer.parameters
        if parameters is None:
            continue
        weights, bias = parameters.weights, parameters.bias
        rows.append(
            (
                str(layer.index),
                parameters.key,
                "×".join(map(str, weights.shape)),
                str(parameters.bits),
                str(layer.shift),
                f"{weights.min()} … {weights.max()}",
                f"{parameters.weight_bytes:,}",
                "–" if bias is None else str(len(bias)),
                "–" if bias is None else f"{bias.min()} … {bias.max()}",
            )
        )
    headings = ("layer", "key", "weights", "bits", "shift", "range", "bytes", "bias", "bias range")
    return table_of(headings, rows, title="checkpoint", texts=2, ranks={"bytes": 2, "bias range": 1, "bias": 1})


def synthesis_document(result: Synthesis, folder: Path) -> dict[str, Any]:
    """Return the result for ``--json``."""
    return {
        "schema": SCHEMA,
        "project": str(folder),
        "files": sorted(result.files),
        "statistics": result.statistics.document(),
        "verification": result.check and result.check.document(),
    }
