"""Limits of the operators and number formats common to all devices."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT_BITS = (1, 2, 4, 8)
"""Widths of a weight, in bits."""
OUTPUT_SHIFT = 15
"""Largest magnitude of an output shift, in bits: −15 … 15, whatever the width of the weights."""


@dataclass(frozen=True)
class OperatorLimits:
    """Limits of operator parameters, in elements.

    Pooling windows and their strides have up to `pool_size` rows and columns. Convolutions pad by up to `padding`
    zeros on each side. 1D convolutions have up to `conv1d_kernel` taps and span as many elements when they are dilated;
    those with up to `far_kernel` taps and no padding span whatever the device's largest dilation allows.
    `conv2d_kernels` are the sizes of square kernels; `transposed_stride` is the only stride of transposed convolutions.
    Linear layers have up to `linear_features` inputs and outputs.
    """

    pool_size: int = 16
    padding: int = 2
    conv1d_kernel: int = 9
    far_kernel: int = 3
    conv2d_kernels: tuple[int, ...] = (1, 3)
    transposed_stride: int = 2
    linear_features: int = 1024
