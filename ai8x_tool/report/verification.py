"""Table of the verification chain."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ai8x_tool.console import Console
from ai8x_tool.report.columns import Column, Table
from ai8x_tool.text import counted

if TYPE_CHECKING:
    from ai8x_tool.verification.chain import LayerVerification, Verification
    from ai8x_tool.verification.models import LayerDistance

_NOT_CHECKED = "–"


def verification_table(verification: Verification) -> Table:
    """Return a table with one row for each layer and one column for each link that was checked for any layer."""
    compared = any(layer.distance is not None for layer in verification.layers)
    further = any(layer.from_float is not None for layer in verification.layers)
    modelled = any(layer.equality is not None for layer in verification.layers)
    layers = verification.layers
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
    return Table(tuple(columns), f"verified: {verification.source}")


def show_verification(verification: Verification, console: Console) -> None:
    """Show the table, the result of the firmware, and the diagnostics of the virtual device."""
    for difference in verification.structure:
        console.warn(difference)
    console.show(verification_table(verification))
    if verification.firmware is not None:
        console.show(verification.firmware.text())
    for diagnostic in verification.diagnostics:
        console.warn(f"virtual device: {diagnostic}")
    if verification.passed:
        console.show(compared(verification))


def compared(verification: Verification) -> str:
    """Return a line that names the links that were found equal, and those that were not compared."""
    layers = verification.layers
    equalities = [layer.equality for layer in layers if layer.equality is not None]
    links = [_link("quantized ≡ engine", [e.values for e in equalities], len(layers))] if equalities else []
    links.append(_link("engine ≡ virtual device", [layer.check.values for layer in layers], len(layers)))
    links += [] if verification.firmware is None else ["firmware ≡ known answers"]
    skipped = f"; not compared: {'; '.join(verification.skipped)}" if verification.skipped else ""
    return f"equal for {counted(verification.samples, 'sample')}: {', '.join(links)}{skipped}"


def _link(name: str, values: list[int], layers: int) -> str:
    """Return a link with the number of values that were compared; layers without weights have no module for this."""
    count = counted(layers, "layer") if len(values) == layers else f"{len(values)} of {counted(layers, 'layer')}"
    return f"{name} ({count}, {sum(values):,} values)"


def _decibels(distance: LayerDistance | None) -> str:
    if distance is None:
        return _NOT_CHECKED
    return "equal" if math.isinf(distance.sqnr) else f"{distance.sqnr:.1f} dB"


def _clipped(distance: LayerDistance | None) -> str:
    return _NOT_CHECKED if distance is None else f"{100 * distance.clipped:.2f} %"


def _equality(layer: LayerVerification) -> str:
    return _NOT_CHECKED if layer.equality is None else _count(layer.equality.values, layer.equality.different)


def _count(values: int, different: int) -> str:
    return f"{different:,} of {values:,} differ" if different else f"{values:,} equal"
