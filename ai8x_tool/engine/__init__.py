"""The reference integer engine: computes a network bit by bit as the accelerator does, in vectorized NumPy."""

from ai8x_tool.engine.engine import LayerTensors, run

__all__ = ["LayerTensors", "run"]
