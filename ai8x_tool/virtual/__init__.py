"""A model of the accelerator that sees nothing but stores and loads."""

from ai8x_tool.virtual.device import VirtualDevice
from ai8x_tool.virtual.diagnostics import Diagnostic

__all__ = ["Diagnostic", "VirtualDevice"]
