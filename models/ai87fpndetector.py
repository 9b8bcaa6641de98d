"""Feature-pyramid detector for 256×320 pixels (MAX78002)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .detection import by_prior, center_priors

MAPS = ((32, 40, 0.1), (16, 20, 0.2), (8, 10, 0.4), (4, 5, 0.8))
"""Rows and columns of each feature map that has predictions, and the size of its objects."""
RATIOS = (0.5, 1.0, 2.0)
"""Widths over heights of the priors of every cell."""
MULTIPLES = (1.0, 2.0**0.5)
"""Sizes of the priors of every cell, as multiples of the map's."""
PRIORS = len(RATIOS) * len(MULTIPLES)


class ResidualBlock(nn.Module):
    """A convolution (with max pooling before it if `pooled`), and two more that its output is added to if `adds`."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool, kwargs: Any, *, pooled: bool = False, adds: bool = True
    ) -> None:
        super().__init__()
        options = {"padding": 1, "bias": bias, "batchnorm": "NoAffine", **kwargs}
        first = ai8x.FusedMaxPoolConv2dBNReLU if pooled else ai8x.FusedConv2dBNReLU
        self.preprocess_layer = first(inputs, outputs, 3, **options)
        self.res_layers = nn.Sequential()
        for number in range(2):
            self.res_layers.add_module(f"conv_{number}", ai8x.FusedConv2dBNReLU(outputs, outputs, 3, **options))
        self.add = ai8x.Add() if adds else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W), of half the size if pooled."""
        x = self.preprocess_layer(x)
        deep: Tensor = self.res_layers(x)
        return deep if self.add is None else self.add(deep, x)


class Backbone(nn.Module):
    """Seven residual blocks; returns feature maps of 1/8, 1/16, 1/32 and 1/64 of the size."""

    def __init__(self, bias: bool, kwargs: Any) -> None:
        super().__init__()
        self.residual_256_320 = ResidualBlock(64, 64, bias, kwargs, pooled=True, adds=False)
        self.residual_128_160 = ResidualBlock(64, 64, bias, kwargs, pooled=True)
        self.residual_64_80_pre = ResidualBlock(64, 64, bias, kwargs)
        self.residual_64_80 = ResidualBlock(64, 64, bias, kwargs, pooled=True)
        self.residual_32_40 = ResidualBlock(64, 64, bias, kwargs, pooled=True)
        self.residual_16_20 = ResidualBlock(64, 128, bias, kwargs, pooled=True)
        self.residual_8_10 = ResidualBlock(128, 128, bias, kwargs, pooled=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the feature maps, from large to small."""
        x = self.residual_64_80_pre(self.residual_128_160(self.residual_256_320(x)))
        first = self.residual_64_80(x)
        second = self.residual_32_40(first)
        third = self.residual_16_20(second)
        return first, second, third, self.residual_8_10(third)


class Pyramid(nn.Module):
    """Top-down path: adds the smaller feature maps to the larger ones; 64 channels each."""

    def __init__(self, bias: bool, kwargs: Any) -> None:
        super().__init__()
        options = {"bias": bias, "batchnorm": "NoAffine", **kwargs}
        for name, channels in (("32_40", 64), ("16_20", 64), ("8_10", 128), ("4_5", 128)):
            self.add_module(f"skip_{name}", ai8x.FusedConv2dBNReLU(channels, 64, 1, **options))
        for smaller, name in (("4_5", "8_10"), ("8_10", "16_20"), ("16_20", "32_40")):
            upwards = ai8x.ConvTranspose2d(64, 64, 3, stride=2, padding=1, bias=True, **kwargs)
            self.add_module(f"upconv_{smaller}", upwards)
            self.add_module(f"process_{name}", ai8x.FusedConv2dBNReLU(64, 64, 3, padding=1, **options))
        self.add = ai8x.Add()

    def forward(self, first: Tensor, second: Tensor, third: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps, from large to small."""
        first, second = self.skip_32_40(first), self.skip_16_20(second)
        third, last = self.skip_8_10(third), self.skip_4_5(last)
        third = self.process_8_10(self.add(third, self.upconv_4_5(last)))
        second = self.process_16_20(self.add(second, self.upconv_8_10(third)))
        first = self.process_32_40(self.add(first, self.upconv_16_20(second)))
        return first, second, third, last


class Head(nn.Module):
    """Two residual blocks and a convolution to `values` numbers per prior, for feature maps of any size."""

    def __init__(self, values: int, bias: bool, kwargs: Any, *, wide: bool) -> None:
        super().__init__()
        self.values = values
        self.res_conv1 = ResidualBlock(64, 64, bias, kwargs)
        self.res_conv2 = ResidualBlock(64, 64, bias, kwargs)
        self.conv5 = ai8x.Conv2d(64, PRIORS * values, 3, padding=1, bias=bias, wide=wide, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the predictions by prior (B, P, values)."""
        return by_prior(self.conv5(self.res_conv2(self.res_conv1(x))), self.values)


class AI87FPNDetector(nn.Module):
    """(B, num_channels, 256, 320) to locations (B, 10200, 4) and scores (B, 10200, num_classes with background).

    Scores have 32 bits.
    """

    def __init__(
        self,
        num_classes: int = 21,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (256, 320),
        bias: bool = True,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (256, 320):
            raise ValueError(f"ai87fpndetector needs 256×320 pixels, not {dimensions[0]}×{dimensions[1]}")
        options = {"padding": 1, "bias": bias, **kwargs}
        self.preprocess_layer_1 = ai8x.FusedConv2dBNReLU(num_channels, 64, 3, **options)
        self.preprocess_layer_2 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.backbone = Backbone(bias, kwargs)
        self.fpn = Pyramid(bias, kwargs)
        self.regression_net = Head(4, bias, kwargs, wide=False)
        self.classification_net = Head(num_classes, bias, kwargs, wide=True)
        self.priors_cxcy = center_priors(MAPS, RATIOS, MULTIPLES).to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return locations and scores of all priors."""
        features = self.fpn(*self.backbone(self.preprocess_layer_2(self.preprocess_layer_1(x))))
        locations = torch.cat([self.regression_net(feature) for feature in features], dim=1)
        return locations, torch.cat([self.classification_net(feature) for feature in features], dim=1)


def ai87fpndetector(pretrained: bool = False, **kwargs: Any) -> AI87FPNDetector:
    """Feature-pyramid detector for 256×320 pixels; needs --use-bias and --obj-detection."""
    if pretrained:
        raise ValueError("ai87fpndetector comes without trained weights")
    return AI87FPNDetector(**kwargs)


models = [{"name": "ai87fpndetector", "min_input": 1, "dim": 2}]
