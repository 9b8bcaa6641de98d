"""The table of the proof chain."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ai8x_tool.verify.chain import LayerProof, Proof

_NOT_CHECKED = "–"


def proof_table(proof: Proof) -> Table:
    """Return one row for each layer and one column for each link."""
    table = Table(title=f"proof, {proof.source}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    table.add_column("trained ≈ quantized", justify="right")
    table.add_column("clipped", justify="right")
    table.add_column("quantized ≡ engine", justify="right")
    table.add_column("engine ≡ virtual device", justify="right")
    for layer in proof.layers:
        table.add_row(
            layer.label, *_distance(layer), _equality(layer), _count(layer.check.values, layer.check.different)
        )
    return table


def _distance(layer: LayerProof) -> tuple[str, str]:
    if layer.distance is None:
        return _NOT_CHECKED, _NOT_CHECKED
    sqnr = "equal" if math.isinf(layer.distance.sqnr) else f"{layer.distance.sqnr:.1f} dB"
    return sqnr, f"{100 * layer.distance.clipped:.2f} %"


def _equality(layer: LayerProof) -> str:
    return _NOT_CHECKED if layer.equality is None else _count(layer.equality.values, layer.equality.different)


def _count(values: int, different: int) -> str:
    return f"{different:,} of {values:,} differ" if different else f"{values:,} equal"
