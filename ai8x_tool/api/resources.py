"""Available resources, and the state of this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.doctor import Diagnosis
    from ai8x_tool.report.catalogue import Resource


def doctor() -> Diagnosis:
    """Return what this computer has of the software and hardware that the tool can use, and how to add the rest."""
    from ai8x_tool.doctor import examine

    return examine()


def list_resources(kind: str, console: Console | None = None) -> tuple[Resource, ...]:
    """Return all resources of one `kind`: models, datasets, recipes, networks, weights, devices or operators."""
    from ai8x_tool.report.catalogue import catalogue

    return tuple(catalogue(kind, console))
