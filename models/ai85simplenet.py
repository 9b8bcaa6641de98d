"""Fourteen-convolution image classifiers for 32×32 pixels, with batch normalization."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

POOLED = (5, 8, 10, 11, 13)
"""Convolutions that have pooling before them."""
ONE_BY_ONE = (11, 12, 14)
"""Convolutions of 1×1; the others are 3×3."""


class AI85SimpleNet(nn.Module):
    """Input (B, num_channels, 32, 32), output (B, num_classes) with 32 bits.

    `widths` are the outputs of the first 13 convolutions. Needs biases, into which the batch normalization is folded.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        num_classes: int = 100,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (32, 32):
            raise ValueError(f"this network requires images of 32×32 pixels, not {dimensions[0]}×{dimensions[1]}")
        inputs = num_channels
        for number, outputs in enumerate(widths, 1):
            make = ai8x.FusedMaxPoolConv2dBNReLU if number in POOLED else ai8x.FusedConv2dBNReLU
            kernel, pad = (1, 0) if number in ONE_BY_ONE else (3, 1)
            self.add_module(f"conv{number}", make(inputs, outputs, kernel, padding=pad, bias=bias, **kwargs))
            inputs = outputs
        self.conv14 = ai8x.Conv2d(inputs, num_classes, 1, bias=bias, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        for layer in self.children():
            x = layer(x)
        return x.flatten(1)


def ai85simplenet(pretrained: bool = False, **kwargs: Any) -> AI85SimpleNet:
    """Image classifier for 32×32 pixels (381,792 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI85SimpleNet((16, 20, 20, 20, 20, 20, 44, 48, 48, 96, 512, 128, 128), **kwargs)


def ai85simplenetwide2x(pretrained: bool = False, **kwargs: Any) -> AI85SimpleNet:
    """Image classifier for 32×32 pixels, wider (725,128 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI85SimpleNet((24, 32, 32, 32, 32, 32, 64, 64, 64, 128, 512, 192, 192), **kwargs)


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("SimpleNets come without trained weights")


models = [
    {"name": "ai85simplenet", "min_input": 1, "dim": 2},
    {"name": "ai85simplenetwide2x", "min_input": 1, "dim": 2},
]
