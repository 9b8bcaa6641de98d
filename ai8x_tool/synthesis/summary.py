"""The summary that ``ai8x synthesize`` ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from ai8x_tool.device import Device
from ai8x_tool.mapping.statistics import Statistics
from ai8x_tool.network.network import Network
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.text import one_line

SCHEMA = "ai8x-synthesize/1"
_LONGEST_NAME = 32


def synthesis_table(result: Synthesis, device: Device) -> Group:
    """Return the table of layers with operators, shapes, MACs, cycles and memory, and the totals."""
    figures = result.statistics
    title = f"{device.name}: {len(figures.layers)} layers"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("layer", no_wrap=True, max_width=_LONGEST_NAME)
    table.add_column("operator", min_width=14)
    for heading in ("input", "output", "MACs", "cycles", "weights", "bias", "data in", "data out"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in figures.layers:
        name = f"{layer.index} {one_line(layer.name)}" if layer.name else str(layer.index)
        table.add_row(
            name,
            layer.operator,
            _shape(layer.input_shape),
            _shape(layer.output_shape),
            f"{layer.operations.macc:,}",
            f"{layer.cycles:,}",
            f"{layer.weight_bytes:,}",
            f"{layer.bias_bytes:,}",
            f"{layer.input_bytes:,}",
            f"{layer.output_bytes:,}",
        )
    proof = [result.check.text()] if result.check is not None and result.check.equal else []
    return Group(table, *_totals(figures, device), *proof)


def _totals(figures: Statistics, device: Device) -> list[str]:
    weights = f"{figures.weight_bytes:,} of {figures.weight_total:,} bytes"
    bias = f"{figures.bias_bytes:,} of {figures.bias_total:,} bytes"
    return [
        f"operations {figures.operations.total:,} ({figures.operations.macc:,} MACs)",
        f"kernel memory {weights} ({100 * figures.weight_bytes / figures.weight_total:.1f} %), bias memory {bias}",
        f"data memory: bytes in each instance of four processors, which holds {device.instance_size:,}",
        f"inference {figures.cycles:,} cycles, {figures.microseconds:,.0f} µs ({figures.cycle_basis})",
    ]


def _shape(shape: tuple[int, ...]) -> str:
    trimmed = shape[:-1] if shape[-1] == 1 and len(shape) == 3 else shape
    return "×".join(map(str, trimmed))


def checkpoint_table(network: Network) -> Table:
    """Return the parameters of every layer."""
    table = Table(title="checkpoint", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("layer", "key", "weights", "bits", "shift", "range", "bytes", "bias", "range"):
        table.add_column(heading, justify="left" if heading in ("layer", "key") else "right")
    for layer in network.layers:
        parameters = layer.parameters
        if parameters is None:
            continue
        weights, bias = parameters.weights, parameters.bias
        table.add_row(
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
    return table


def synthesis_document(result: Synthesis, folder: Path) -> dict[str, Any]:
    """Return the result for ``--json``."""
    return {
        "schema": SCHEMA,
        "project": str(folder),
        "files": sorted(result.files),
        "statistics": result.statistics.document(),
        "verification": result.check and result.check.document(),
    }
