"""The virtual device: a model of the accelerator that is driven by stores and loads only."""

from ai8x_tool.virtual.device import VirtualDevice
from ai8x_tool.virtual.diagnostics import Diagnostic

__all__ = ["Diagnostic", "VirtualDevice"]
