"""Diagnostics that a board cannot provide: accesses that would hang, be lost or read undefined data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ai8x_tool.errors import Ai8xError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `layer` is the hardware layer, `register` the name of the register involved; None if there is none.

    Errors would fail on the device, warnings are suspicious, notes are legal in some programs.
    """

    severity: Severity
    message: str
    layer: int | None = None
    quadrant: int | None = None
    address: int | None = None
    register: str | None = None

    def __str__(self) -> str:
        place = [
            f"layer {self.layer}" if self.layer is not None else "",
            f"quadrant {self.quadrant}" if self.quadrant is not None else "",
            self.register or "",
            f"address {self.address:#010x}" if self.address is not None else "",
        ]
        where = ", ".join(part for part in place if part)
        return f"{where}: {self.message}" if where else self.message


@dataclass
class Diagnostics:
    """Collects distinct diagnostics. With `strict`, errors and warnings raise Ai8xError."""

    strict: bool = False
    found: dict[Diagnostic, None] = field(default_factory=dict)

    def report(
        self,
        severity: Severity,
        message: str,
        *,
        layer: int | None = None,
        quadrant: int | None = None,
        address: int | None = None,
        register: str | None = None,
    ) -> None:
        """Record one diagnostic. Raises Ai8xError for errors and warnings in strict mode."""
        diagnostic = Diagnostic(severity, message, layer, quadrant, address, register)
        self.found.setdefault(diagnostic)
        if self.strict and severity != "note":
            raise Ai8xError(str(diagnostic))
