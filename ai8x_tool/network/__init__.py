"""What is computed: layers by name, their inputs, sizes and weights. Nothing about processors, offsets or schedules."""

from ai8x_tool.network.layer import BINARY, BUFFER, INPUT, Layer, Parameters
from ai8x_tool.network.network import Buffer, Network, build_network

__all__ = ["BINARY", "BUFFER", "INPUT", "Buffer", "Layer", "Network", "Parameters", "build_network"]
