"""From PyTorch models to networks."""

from ai8x_tool.frontend.torch.bind import bind
from ai8x_tool.frontend.torch.check import check_model
from ai8x_tool.frontend.torch.structure import structure_differences
from ai8x_tool.frontend.torch.trace import trace

__all__ = ["bind", "check_model", "structure_differences", "trace"]
