"""Small U-Nets for segmentation of your own images: a class for every pixel."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ai8x_tool import nn as ai8x

from .levels import require_whole_levels
from .unet import UNet

WIDTHS = (8, 16, 32, 64)
"""Channels of the three levels and of the bottleneck; on the way up they are the same."""


class Compactunet(UNet):
    """Three levels down, three up: (B, num_channels, rows, columns) to (B, num_classes, rows, columns)."""

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
        require_whole_levels("compactunet", dimensions)
        first, second, third, bottom = WIDTHS
        self.add_levels(num_channels, (first, second, third, bottom), (third, second, first), True, kwargs)
        self.conv = ai8x.FusedConv2dBN(first, num_classes, 1, bias=True, batchnorm="NoAffine", **kwargs)

    def finish(self, x: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.conv(x)
        return scores


def compactunet(pretrained: bool = False, **kwargs: Any) -> Compactunet:
    """Small U-Net; rows and columns of the images are multiples of 8."""
    if pretrained:
        raise ValueError("compactunet comes without trained weights")
    return Compactunet(**kwargs)


models = [{"name": "compactunet", "min_input": 1, "dim": 2}]
