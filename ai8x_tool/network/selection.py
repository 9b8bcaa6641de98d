"""1×1 convolutions that only move data: each output is one input channel, or zero.

Unlike layers without convolution, they can write to any processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ai8x_tool.network.layer import Layer, Operator, Parameters, Source
from ai8x_tool.network.sizes import passes

ZERO = -1
"""Marks a channel of zeros."""
_UNIT = 128
"""The product of a weight and 2^shift that leaves a value unchanged."""


def selection_layer(
    name: str, inputs: Sequence[Source], chosen: Sequence[int], channels_in: int, *, flat: bool, **fields: Any
) -> Layer:
    """Return a convolution whose outputs are the input channels `chosen`, of `channels_in`; ZERO for zeros.

    `flat` is whether the data are 1D. Weights have 2 bits if one pass suffices, 8 bits otherwise: in the last of
    several passes the device cannot read narrower weights of some layers.
    """
    bits, weight = (2, 1) if passes(channels_in) == 1 else (8, 64)
    weights = np.zeros((len(chosen), channels_in, 1, 1), np.int64)
    for output, channel in enumerate(chosen):
        if channel != ZERO:
            weights[output, channel] = weight
    # The width is stated because it cannot be told from the weights: a single 1 would be taken for a binary weight.
    parameters = Parameters(f"{name}.op.weight", weights, None, bits, 1, described=frozenset(("bits",)))
    operator: Operator = "conv1d" if flat else "conv2d"
    return Layer(name, tuple(inputs), operator, parameters=parameters, channels_out=len(chosen), **fields)


def identity_convolution(name: str, inputs: Sequence[Source], channels: int, *, flat: bool, **fields: Any) -> Layer:
    """Return a convolution that copies `channels` channels."""
    return selection_layer(name, inputs, range(channels), channels, flat=flat, **fields)


def selected_channels(layer: Layer) -> tuple[int, ...] | None:
    """Return the input channel that each output of `layer` copies, ZERO for zeros; None if the layer computes."""
    passes_on = layer.activation == "none" and layer.eltwise is None
    return selected_before_activation(layer) if passes_on else None


def selected_before_activation(layer: Layer) -> tuple[int, ...] | None:
    """Return the input channel that each sum of `layer` copies, ZERO for zeros; None if the layer computes."""
    found = layer.parameters
    plain = layer.operator in ("conv1d", "conv2d") and not (layer.flatten or layer.depthwise)
    plain = plain and layer.kernel == (1, 1) and layer.output_width == 8
    if found is None or not plain or layer.bias is not None:
        return None
    return chosen_channels(found.weights[:, :, 0, 0], layer.shift)


def chosen_channels(weights: np.ndarray[Any, Any], shift: int) -> tuple[int, ...] | None:
    """Return the input that each row of `weights` (outputs, inputs) copies, ZERO for none; None for other weights.

    `shift` is the total output shift of 8-bit weights, left if positive.
    """
    used = weights != 0
    if (used.sum(axis=1) > 1).any() or (weights[used] * 2.0**shift != _UNIT).any():
        return None
    return tuple(int(row.argmax()) if row.any() else ZERO for row in used)
