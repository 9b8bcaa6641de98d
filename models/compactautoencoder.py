"""Small autoencoder for time series of your own: what it cannot reproduce is an anomaly."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

WIDTHS = (32, 48, 16)
"""Channels of the three stages before the bottleneck."""
BOTTLENECK, HIDDEN = 24, 128


class Compactautoencoder(nn.Module):
    """Three stages of one convolution, a bottleneck, and two linear layers that make the input again.

    Input and output (B, num_channels, length), together at most 1024 values.
    """

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (128, 1),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        del bias  # batch normalization is folded into biases
        self.shape = (num_channels, dimensions[0])
        first, second, third = WIDTHS
        self.encoder = nn.Sequential(
            ai8x.FusedConv1dBNReLU(num_channels, first, 5, padding=2, bias=True, **kwargs),
            ai8x.FusedMaxPoolConv1dBNReLU(first, second, 3, padding=1, bias=True, **kwargs),
            ai8x.FusedMaxPoolConv1dBNReLU(second, third, 3, padding=1, bias=True, **kwargs),
        )
        self.bottleneck = ai8x.Linear(third * (dimensions[0] // 4), BOTTLENECK, bias=True, **kwargs)
        self.hidden = ai8x.FusedLinearReLU(BOTTLENECK, HIDDEN, bias=True, **kwargs)
        self.output = ai8x.Linear(HIDDEN, num_channels * dimensions[0], bias=False, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructed input."""
        x = self.bottleneck(self.encoder(x).flatten(1))
        return self.output(self.hidden(x)).view(x.shape[0], *self.shape)


def compactautoencoder(pretrained: bool = False, **kwargs: Any) -> Compactautoencoder:
    """Small autoencoder of time series, which recognizes anomalies."""
    if pretrained:
        raise ValueError("compactautoencoder comes without trained weights")
    return Compactautoencoder(**kwargs)


models = [{"name": "compactautoencoder", "min_input": 1, "dim": 1}]
