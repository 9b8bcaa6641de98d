"""From PyTorch models to networks."""

from ai8x_tool.frontend.torch.bind import bind
from ai8x_tool.frontend.torch.check import check_model, model_network
from ai8x_tool.frontend.torch.legalize import Replacement, is_plain, legalize
from ai8x_tool.frontend.torch.structure import structure_differences
from ai8x_tool.frontend.torch.trace import trace

__all__ = [
    "Replacement",
    "bind",
    "check_model",
    "is_plain",
    "legalize",
    "model_network",
    "structure_differences",
    "trace",
]
