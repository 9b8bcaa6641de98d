"""Comparison of the structures of description and model, before any values are compared."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import bind, structure_differences, trace
from ai8x_tool.synthesis.synthesize import Synthesis


def compare_structure(
    model: nn.Module, shape: tuple[int, ...], checkpoint: Path, synthesis: Synthesis, console: Console
) -> tuple[str, ...]:
    """Return a line for each difference between `model`, for samples of `shape`, and what was synthesized.

    If the model cannot be traced, this is reported and no line is returned; its values are compared nevertheless.
    """
    device = synthesis.mapping.device
    try:
        traced = bind(trace(model, shape, "model", device=device), read_checkpoint(checkpoint), device)
    except Ai8xError as error:
        console.info(f"the structures of model and description were not compared: {error}")
        return ()
    return tuple(structure_differences(traced, synthesis.network))
