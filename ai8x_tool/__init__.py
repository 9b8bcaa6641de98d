"""Train, quantize and synthesize neural networks for the MAX78000 and MAX78002 CNN accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai8x_tool.version import __version__

if TYPE_CHECKING:
    from ai8x_tool.api import analyze, evaluate, list_resources, new, quantize, run, synthesize, train, verify
    from ai8x_tool.console import Console
    from ai8x_tool.errors import Ai8xError
    from ai8x_tool.virtual import VirtualDevice

__all__ = [
    "Ai8xError",
    "Console",
    "VirtualDevice",
    "__version__",
    "analyze",
    "evaluate",
    "list_resources",
    "new",
    "quantize",
    "run",
    "synthesize",
    "train",
    "verify",
]

_MODULES = {"Ai8xError": "errors", "Console": "console", "VirtualDevice": "virtual"}
"""Modules of the names that are not defined in `api`."""


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` and return the object; ``import ai8x_tool`` alone loads nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415  (needed here only)

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'api')}"), name)
