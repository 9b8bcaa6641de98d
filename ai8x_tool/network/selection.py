"""1×1 convolutions that compute nothing: each output is one input channel, or zero.

Other than layers without convolution, they can write to any processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ai8x_tool.network.layer import Layer, Operator, Parameters, Source
from ai8x_tool.network.sizes import passes

ZERO = -1
"""Stands for a channel of zeros."""
_UNIT = 128
"""What a weight times 2^shift has to be so that a value stays what it is."""


def selection(
    name: str, inputs: Sequence[Source], chosen: Sequence[int], channels_in: int, *, flat: bool, **fields: Any
) -> Layer:
    """Return a convolution whose outputs are the input channels `chosen`, of `channels_in`; ZERO for zeros.

    `flat` says that the data are 1D. Weights have 2 bits where the device can read so few in the last pass.
    """
    bits, weight = (2, 1) if passes(channels_in) == 1 else (8, 64)
    weights = np.zeros((len(chosen), channels_in, 1, 1), np.int64)
    for output, channel in enumerate(chosen):
        if channel != ZERO:
            weights[output, channel] = weight
    # Few bits are not recognized from the weights: a single 1 would be taken for a binary weight.
    parameters = Parameters(f"{name}.op.weight", weights, None, bits, 1, described=frozenset(("bits",)))
    operator: Operator = "conv1d" if flat else "conv2d"
    return Layer(name, tuple(inputs), operator, parameters=parameters, channels_out=len(chosen), **fields)


def identity(name: str, inputs: Sequence[Source], channels: int, *, flat: bool, **fields: Any) -> Layer:
    """Return a convolution that passes `channels` channels on."""
    return selection(name, inputs, range(channels), channels, flat=flat, **fields)


def selected(layer: Layer) -> tuple[int, ...] | None:
    """Return which input channel each output of `layer` is, ZERO for zeros; None for all layers that compute."""
    passes_on = layer.activation == "none" and layer.eltwise is None
    return selected_before_activation(layer) if passes_on else None


def selected_before_activation(layer: Layer) -> tuple[int, ...] | None:
    """Return which input channel each sum of `layer` is, ZERO for zeros; None if it is anything else."""
    found = layer.parameters
    plain = layer.operator in ("conv1d", "conv2d") and not (layer.flatten or layer.depthwise)
    plain = plain and layer.kernel == (1, 1) and layer.output_width == 8
    if found is None or not plain or layer.bias is not None:
        return None
    return chosen_channels(found.weights[:, :, 0, 0], layer.shift)


def chosen_channels(weights: np.ndarray[Any, Any], shift: int) -> tuple[int, ...] | None:
    """Return which input each row of `weights` (outputs, inputs) passes on, ZERO for none; None if it computes.

    `shift` is that of sums to the left, for weights of 8 bits.
    """
    used = weights != 0
    if (used.sum(axis=1) > 1).any() or (weights[used] * 2.0**shift != _UNIT).any():
        return None
    return tuple(int(row.argmax()) if row.any() else ZERO for row in used)
