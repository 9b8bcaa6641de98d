"""EfficientNets of the second version (MAX78002)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

NORM = {"eps": 1e-03, "momentum": 0.01}
"""Options of all batch normalizations."""


class AI87EffNetV2(nn.Module):
    """Nine inverted-residual blocks for 32×32 pixels.

    Input (B, num_channels, 32, 32), output (B, num_classes) with 32 bits. Needs biases, into which the batch
    normalization is folded.
    """

    def __init__(
        self,
        num_classes: int = 100,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        fused = {"bias": bias, "fused": True, **kwargs}
        plain = {"bias": bias, "expand_ratio": 4, **kwargs}
        self.conv_stem = ai8x.FusedMaxPoolConv2dBNReLU(num_channels, 32, 3, padding=1, bias=bias, **NORM, **kwargs)
        self.mb_conv1 = ai8x.MBConvBlock(32, 16, **fused)
        self.mb_conv2 = ai8x.MBConvBlock(16, 32, expand_ratio=4, **fused)
        self.mb_conv3 = ai8x.MBConvBlock(32, 32, expand_ratio=4, **fused)
        self.mb_conv4 = ai8x.MBConvBlock(32, 48, expand_ratio=4, **fused)
        self.mb_conv5 = ai8x.MBConvBlock(48, 48, expand_ratio=4, **fused)
        self.mb_conv6 = ai8x.MBConvBlock(48, 96, **plain)
        self.mb_conv7 = ai8x.MBConvBlock(96, 96, **plain)
        self.mb_conv8 = ai8x.MBConvBlock(96, 128, **plain)
        self.mb_conv9 = ai8x.MBConvBlock(128, 128, **plain)
        self.conv_head = ai8x.FusedConv2dBNReLU(128, 1024, 1, bias=bias, **NORM, **kwargs)
        self.avg_pooling = ai8x.AvgPool2d((dimensions[0] // 2, dimensions[1] // 2), **kwargs)
        self.fc = ai8x.Linear(1024, num_classes, bias=bias, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv_stem(x)
        for number in range(1, 10):
            x = self.get_submodule(f"mb_conv{number}")(x)
        x = self.avg_pooling(self.conv_head(x))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


class AI87ImageNetEffNetV2(nn.Module):
    """Ten inverted-residual blocks for 112×112 pixels.

    Input (B, num_channels, 112, 112), output (B, num_classes) with 32 bits. Needs biases, into which the batch
    normalization is folded.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (112, 112),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        fused = {"bias": bias, "fused": True, **kwargs}
        plain = {"bias": bias, **kwargs}
        self.conv_stem = ai8x.FusedMaxPoolConv2dBNReLU(num_channels, 32, 3, padding=1, bias=bias, **NORM, **kwargs)
        self.mb_conv1 = ai8x.MBConvBlock(32, 16, **fused)
        self.mb_conv2 = ai8x.MBConvBlock(16, 32, expand_ratio=4, **fused)
        self.mb_conv3 = ai8x.MBConvBlock(32, 32, expand_ratio=4, **fused)
        self.mb_conv4 = ai8x.MBConvBlock(32, 48, expand_ratio=4, **fused)
        self.mb_conv5 = ai8x.MBConvBlock(48, 48, expand_ratio=4, **fused)
        self.mb_conv6 = ai8x.MBConvBlock(48, 48, expand_ratio=4, **fused)
        self.max_pooling1 = ai8x.MaxPool2d(2, **kwargs)
        self.mb_conv7 = ai8x.MBConvBlock(48, 96, expand_ratio=2, **plain)
        self.mb_conv8 = ai8x.MBConvBlock(96, 96, expand_ratio=2, **plain)
        self.mb_conv9 = ai8x.MBConvBlock(96, 128, expand_ratio=2, **plain)
        self.conv10 = ai8x.FusedMaxPoolConv2dBNReLU(128, 128, 1, **NORM, **plain)
        self.mb_conv11 = ai8x.MBConvBlock(128, 128, expand_ratio=4, **plain)
        self.conv_head = ai8x.FusedConv2dBNReLU(128, 1024, 1, **NORM, **plain)
        self.avg_pooling = ai8x.AvgPool2d((dimensions[0] // 8, dimensions[1] // 8), **kwargs)
        self.fc = ai8x.Linear(1024, num_classes, wide=True, **plain)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.mb_conv3(self.mb_conv2(self.mb_conv1(self.conv_stem(x))))
        x = self.max_pooling1(self.mb_conv6(self.mb_conv5(self.mb_conv4(x))))
        x = self.conv10(self.mb_conv9(self.mb_conv8(self.mb_conv7(x))))
        x = self.avg_pooling(self.conv_head(self.mb_conv11(x)))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai87effnetv2(pretrained: bool = False, **kwargs: Any) -> AI87EffNetV2:
    """EfficientNet for 32×32 pixels (753,952 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI87EffNetV2(**kwargs)


def ai87imageneteffnetv2(pretrained: bool = False, **kwargs: Any) -> AI87ImageNetEffNetV2:
    """EfficientNet for 112×112 pixels (1,686,080 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI87ImageNetEffNetV2(**kwargs)


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("EfficientNets come without trained weights")


models = [
    {"name": "ai87effnetv2", "min_input": 1, "dim": 2},
    {"name": "ai87imageneteffnetv2", "min_input": 1, "dim": 2},
]
