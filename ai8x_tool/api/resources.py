"""What there is, and what this computer has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.doctor import Diagnosis
    from ai8x_tool.report.catalogue import Resource


def doctor() -> Diagnosis:
    """Look at this computer: what there is of what the tool can use, and what to do about the rest."""
    from ai8x_tool.doctor import examine

    return examine()


def list_resources(kind: str, console: Console | None = None) -> tuple[Resource, ...]:
    """Return all ``models``, ``datasets``, ``recipes``, ``networks``, ``devices`` or ``operators``."""
    from ai8x_tool.report.catalogue import catalogue

    return tuple(catalogue(kind, console))
