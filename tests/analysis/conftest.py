"""Networks to analyze."""

from __future__ import annotations

import pytest

from ai8x_tool.network import INPUT, Layer, build_network


def conv(name, source, outputs, **keys):
    """Return a 3×3 convolution without weights."""
    keys = {"kernel": (3, 3), "pad": (1, 1), "activation": "relu", **keys}
    return Layer(name, (source,), "conv2d", channels_out=outputs, bits=8, **keys)


@pytest.fixture
def residual():
    """Two convolutions, and the sum of their outputs."""
    layers = [conv("a", INPUT, 8), conv("b", "a", 8), Layer("sum", ("a", "b"), "none", eltwise="add", operands=2)]
    return build_network("residual", (3, 16, 16), [*layers, conv("c", "sum", 4)])


@pytest.fixture
def large():
    """A network with more data than the MAX78000 holds, which the MAX78002 holds."""
    return build_network("large", (3, 96, 96), [conv("a", INPUT, 64), conv("b", "a", 4)])


@pytest.fixture
def heavy():
    """A network with more weights than any device has."""
    layers = [conv("a", INPUT, 512), conv("b", "a", 512), conv("c", "b", 512)]
    return build_network("heavy", (64, 8, 8), layers)
