"""The reference integer engine: what a network computes, bit for bit, in vectorised NumPy."""

from ai8x_tool.engine.engine import LayerTensors, run

__all__ = ["LayerTensors", "run"]
