"""Limits of the operators, and the number formats, which all devices have in common."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT_BITS = (1, 2, 4, 8)
"""Widths of a weight."""
OUTPUT_SHIFT = 15
"""Results are shifted by −15 … 15 bits, whatever the width of the weights."""


@dataclass(frozen=True)
class OperatorLimits:
    """What an operator can be told, in elements.

    Pooling windows, and their strides, have up to `pool_size` rows and columns. Convolutions pad by up to `padding`
    zeros on each side. One-dimensional ones have up to `conv1d_kernel` taps and reach over as many elements when they
    are dilated; those with up to `far_kernel` taps and no padding reach as far as the device's dilation allows.
    `conv2d_kernels` are the sizes of square kernels, `transposed_stride` is the only stride of transposed convolutions.
    Linear layers have up to `linear_features` inputs and outputs.
    """

    pool_size: int = 16
    padding: int = 2
    conv1d_kernel: int = 9
    far_kernel: int = 3
    conv2d_kernels: tuple[int, ...] = (1, 3)
    transposed_stride: int = 2
    linear_features: int = 1024
