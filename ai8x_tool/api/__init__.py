"""The commands of ``ai8x`` as Python functions with typed options and results.

Every option of a command is a keyword argument; options that are not given are taken from the settings file, then from
the recipe, then from the built-in defaults. All functions raise Ai8xError, with a message of one line, for errors that
the user can fix. Each function is imported, with its options, when it is first accessed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai8x_tool.api.analysis import analyze
    from ai8x_tool.api.evaluation import evaluate
    from ai8x_tool.api.project import run
    from ai8x_tool.api.quantization import quantize
    from ai8x_tool.api.resources import doctor, list_resources
    from ai8x_tool.api.starter import new
    from ai8x_tool.api.synthesis import SynthesizeResult, synthesize
    from ai8x_tool.api.training import train
    from ai8x_tool.api.verification import verify

__all__ = [
    "SynthesizeResult",
    "analyze",
    "doctor",
    "evaluate",
    "list_resources",
    "new",
    "quantize",
    "run",
    "synthesize",
    "train",
    "verify",
]

_MODULES = {
    "SynthesizeResult": "synthesis",
    "analyze": "analysis",
    "doctor": "resources",
    "evaluate": "evaluation",
    "list_resources": "resources",
    "new": "starter",
    "quantize": "quantization",
    "run": "project",
    "synthesize": "synthesis",
    "train": "training",
    "verify": "verification",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` and return the object."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
