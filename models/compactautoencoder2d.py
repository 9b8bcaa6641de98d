"""Small autoencoder for images of your own: what it cannot reproduce is an anomaly."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .levels import require_whole_levels

WIDTHS = (8, 16, 32, 4)
"""Channels of the three levels and of the bottleneck, whose maps have an eighth of the rows and columns."""


class Compactautoencoder2d(nn.Module):
    """Three levels down, three up: input and output (B, num_channels, rows, columns)."""

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (64, 64),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        del bias  # batch normalization is folded into biases
        require_whole_levels("compactautoencoder2d", dimensions)
        first, second, third, bottom = WIDTHS
        options: dict[str, Any] = {"padding": 1, "bias": True, **kwargs}
        self.encoder = nn.Sequential(
            ai8x.FusedConv2dBNReLU(num_channels, first, 3, **options),
            ai8x.FusedMaxPoolConv2dBNReLU(first, second, 3, **options),
            ai8x.FusedMaxPoolConv2dBNReLU(second, third, 3, **options),
            ai8x.FusedMaxPoolConv2dBN(third, bottom, 3, **options),
        )
        up: dict[str, Any] = {"stride": 2, **options}
        self.decoder = nn.Sequential(
            ai8x.FusedConvTranspose2dBNReLU(bottom, third, 3, **up),
            ai8x.FusedConvTranspose2dBNReLU(third, second, 3, **up),
            ai8x.FusedConvTranspose2dBNReLU(second, first, 3, **up),
            ai8x.Conv2d(first, num_channels, 3, **options),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructed input."""
        found: Tensor = self.decoder(self.encoder(x))
        return found


def compactautoencoder2d(pretrained: bool = False, **kwargs: Any) -> Compactautoencoder2d:
    """Small autoencoder of images, which recognizes anomalies; rows and columns are multiples of 8."""
    if pretrained:
        raise ValueError("compactautoencoder2d comes without trained weights")
    return Compactautoencoder2d(**kwargs)


models = [{"name": "compactautoencoder2d", "min_input": 1, "dim": 2}]
