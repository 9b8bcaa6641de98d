"""Powers of two by which the outputs of layers differ from the values of the trained network."""

from __future__ import annotations

from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network


def output_exponents(network: Network) -> dict[str, int | None]:
    """Return T for each layer: the trained network's values are the layer's outputs times 2^T.

    With measured activation ranges, each layer with weights divides its output by 2^R more than its input (except for
    wide outputs); the exponents add up along the path from the network's input. T is None where it is not known:
    without measured ranges, or where inputs of different T meet.
    """
    exponents: dict[str, int | None] = {}
    for name in network.evaluation_order():
        layer = network[name]
        before = _input_exponent(layer, exponents)
        exponents[name] = _output_exponent(layer, before)
    return exponents


def _input_exponent(layer: Layer, exponents: dict[str, int | None]) -> int | None:
    found = {exponents[source] if isinstance(source, str) else 0 for source in layer.inputs}
    return found.pop() if len(found) == 1 else None


def _output_exponent(layer: Layer, before: int | None) -> int | None:
    if layer.parameters is None:
        return before
    threshold = layer.parameters.threshold
    if before is None or threshold is None:
        return None
    return before if layer.output_width != 8 else before + threshold
