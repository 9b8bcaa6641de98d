"""The table of the proof chain."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ai8x_tool.console import Console
from ai8x_tool.report.columns import Column, Table
from ai8x_tool.text import counted
from ai8x_tool.verification.chain import LayerProof, Proof
from ai8x_tool.verification.models import LayerDistance

_NOT_CHECKED = "–"


def proof_table(proof: Proof) -> Table:
    """Return one row for each layer and one column for each link that was checked for any layer."""
    compared = any(layer.distance is not None for layer in proof.layers)
    further = any(layer.from_float is not None for layer in proof.layers)
    modelled = any(layer.equality is not None for layer in proof.layers)
    layers = proof.layers
    columns = [Column("layer", tuple(layer.label for layer in layers), right=False)]

    def add(heading: str, short: str, cells: Iterable[str]) -> None:
        columns.append(Column(heading, tuple(cells), short_heading=short))

    if further:
        add("float ≈ quantized", "≈ float", (_decibels(layer.from_float) for layer in layers))
    if compared:
        add("trained ≈ quantized", "≈ trained", (_decibels(layer.distance) for layer in layers))
        add("clipped", "clipped", (_clipped(layer.distance) for layer in layers))
    if modelled:
        add("quantized ≡ engine", "≡ engine", map(_equality, layers))
    checks = [layer.check for layer in layers]
    add("engine ≡ virtual device", "≡ device", (_count(check.values, check.different) for check in checks))
    return Table(tuple(columns), f"verified: {proof.source}")


def show_proof(proof: Proof, console: Console) -> None:
    """Show the table, what the firmware said, and what the virtual device noticed."""
    for difference in proof.structure:
        console.warn(difference)
    console.show(proof_table(proof))
    if proof.firmware is not None:
        console.show(proof.firmware.text())
    for diagnostic in proof.diagnostics:
        console.warn(f"virtual device: {diagnostic}")
    if proof.complete:
        console.show(compared(proof))


def compared(proof: Proof) -> str:
    """Return a line that names what was found equal, and what was not compared."""
    layers = proof.layers
    equalities = [layer.equality for layer in layers if layer.equality is not None]
    links = [_link("quantized ≡ engine", [e.values for e in equalities], len(layers))] if equalities else []
    links.append(_link("engine ≡ virtual device", [layer.check.values for layer in layers], len(layers)))
    links += [] if proof.firmware is None else ["firmware ≡ known answers"]
    skipped = f"; not compared: {'; '.join(proof.skipped)}" if proof.skipped else ""
    return f"equal for {counted(proof.samples, 'sample')}: {', '.join(links)}{skipped}"


def _link(name: str, values: list[int], layers: int) -> str:
    """Return a link with the number of values; layers without weights have no module to compare with."""
    count = counted(layers, "layer") if len(values) == layers else f"{len(values)} of {counted(layers, 'layer')}"
    return f"{name} ({count}, {sum(values):,} values)"


def _decibels(distance: LayerDistance | None) -> str:
    if distance is None:
        return _NOT_CHECKED
    return "equal" if math.isinf(distance.sqnr) else f"{distance.sqnr:.1f} dB"


def _clipped(distance: LayerDistance | None) -> str:
    return _NOT_CHECKED if distance is None else f"{100 * distance.clipped:.2f} %"


def _equality(layer: LayerProof) -> str:
    return _NOT_CHECKED if layer.equality is None else _count(layer.equality.values, layer.equality.different)


def _count(values: int, different: int) -> str:
    return f"{different:,} of {values:,} differ" if different else f"{values:,} equal"
