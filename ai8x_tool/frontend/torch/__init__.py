"""Conversion of PyTorch models to networks."""

from ai8x_tool.frontend.torch.bind import bind
from ai8x_tool.frontend.torch.legalize import Replacement, is_plain, legalize
from ai8x_tool.frontend.torch.structure import structure_differences
from ai8x_tool.frontend.torch.trace import trace
from ai8x_tool.frontend.torch.widths import model_network

__all__ = [
    "Replacement",
    "bind",
    "is_plain",
    "legalize",
    "model_network",
    "structure_differences",
    "trace",
]
