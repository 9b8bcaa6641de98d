"""The computation of a network: layers by name, their inputs, sizes and weights, without processors or offsets."""

from ai8x_tool.network.layer import BINARY, BUFFER, INPUT, Layer, Parameters
from ai8x_tool.network.network import Buffer, Network, build_network

__all__ = ["BINARY", "BUFFER", "INPUT", "Buffer", "Layer", "Network", "Parameters", "build_network"]
