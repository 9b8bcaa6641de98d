"""The table of the proof chain."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ai8x_tool.console import Console
from ai8x_tool.verification.chain import LayerProof, Proof

_NOT_CHECKED = "–"


def proof_table(proof: Proof) -> Table:
    """Return one row for each layer and one column for each link that was checked for any layer."""
    table = Table(title=f"proof, {proof.source}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    compared = any(layer.distance is not None for layer in proof.layers)
    modelled = any(layer.equality is not None for layer in proof.layers)
    headings = ["trained ≈ quantized", "clipped"] * compared + ["quantized ≡ engine"] * modelled
    for heading in [*headings, "engine ≡ virtual device"]:
        table.add_column(heading, justify="right")
    for layer in proof.layers:
        cells = [*_distance(layer)] * compared + [_equality(layer)] * modelled
        table.add_row(layer.label, *cells, _count(layer.check.values, layer.check.different))
    return table


def show_proof(proof: Proof, console: Console) -> None:
    """Show the table, what the firmware said, and what the virtual device noticed."""
    for difference in proof.structure:
        console.warn(difference)
    console.show(proof_table(proof))
    if proof.firmware is not None:
        console.show(proof.firmware.text())
    for diagnostic in proof.diagnostics:
        console.warn(f"virtual device: {diagnostic}")


def _distance(layer: LayerProof) -> tuple[str, str]:
    if layer.distance is None:
        return _NOT_CHECKED, _NOT_CHECKED
    sqnr = "equal" if math.isinf(layer.distance.sqnr) else f"{layer.distance.sqnr:.1f} dB"
    return sqnr, f"{100 * layer.distance.clipped:.2f} %"


def _equality(layer: LayerProof) -> str:
    return _NOT_CHECKED if layer.equality is None else _count(layer.equality.values, layer.equality.different)


def _count(values: int, different: int) -> str:
    return f"{different:,} of {values:,} differ" if different else f"{values:,} equal"
