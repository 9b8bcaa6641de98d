"""Quantization of trained checkpoints to integer checkpoints."""

from ai8x_tool.quantization.quantize import QuantizeResult, quantize

__all__ = ["QuantizeResult", "quantize"]
