"""Color images from Bayer mosaics."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class Bayer2RGBNet(nn.Module):
    """Mosaic folded 2×2 (B, 4, H, W) to colors (B, 3, 2·H, 2·W), without any activation."""

    def __init__(
        self,
        num_classes: int = 3,
        num_channels: int = 4,
        dimensions: tuple[int, int] = (64, 64),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.l1 = ai8x.Conv2d(num_channels, 3, 1, bias=bias, **kwargs)
        self.l2 = ai8x.ConvTranspose2d(3, 3, 3, stride=2, padding=1, bias=bias, **kwargs)
        self.l3 = ai8x.Conv2d(3, 3, 3, padding=1, bias=bias, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the colors."""
        colors: Tensor = self.l3(self.l2(self.l1(x)))
        return colors


def bayer2rgbnet(pretrained: bool = False, **kwargs: Any) -> Bayer2RGBNet:
    """Color images from Bayer mosaics folded 2×2."""
    if pretrained:
        raise ValueError("bayer2rgbnet comes without trained weights")
    return Bayer2RGBNet(**kwargs)


models = [{"name": "bayer2rgbnet", "min_input": 1, "dim": 2}]
