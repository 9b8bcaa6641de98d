"""U-Nets for segmentation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ai8x_tool import nn as ai8x

from .unet import UNet


class AI85UNetSmall(UNet):
    """For 80×80 pixels: (B, num_channels, 80, 80) to (B, num_classes, 80, 80)."""

    def __init__(
        self,
        num_classes: int = 4,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (80, 80),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.add_levels(num_channels, (4, 8, 32, 64), (32, 8, 16), bias, kwargs)
        self.conv = ai8x.FusedConv2dBN(16, num_classes, 1, bias=bias, batchnorm="NoAffine", **kwargs)

    def finish(self, x: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.conv(x)
        return scores


class AI85UNetMedium(UNet):
    """For 80×80 pixels, with wider levels upwards."""

    def __init__(
        self,
        num_classes: int = 4,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (80, 80),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.add_levels(num_channels, (4, 8, 32, 64), (60, 48, 64), bias, kwargs)
        self.dec0 = ai8x.FusedConv2dBNReLU(64, 32, 3, padding=1, bias=bias, batchnorm="NoAffine", **kwargs)
        self.conv = ai8x.FusedConv2dBN(32, num_classes, 1, bias=bias, batchnorm="NoAffine", **kwargs)

    def finish(self, x: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.conv(self.dec0(x))
        return scores


class AI85UNetLarge(UNet):
    """For images folded by `fold_ratio`: (B, 3·r², H, W) to (B, num_classes·r², H, W), to be unfolded."""

    def __init__(
        self,
        num_classes: int = 4,
        num_channels: int = 48,
        dimensions: tuple[int, int] = (88, 88),
        bias: bool = True,
        fold_ratio: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        options = {"bias": bias, "batchnorm": "NoAffine", **kwargs}
        outputs = num_classes * fold_ratio**2
        self.prep0 = ai8x.FusedConv2dBNReLU(num_channels, 64, 1, **options)
        self.prep1 = ai8x.FusedConv2dBNReLU(64, 64, 1, **options)
        self.prep2 = ai8x.FusedConv2dBNReLU(64, 32, 1, **options)
        self.add_levels(32, (8, 28, 56, 112), (56, 28, 48), bias, kwargs)
        self.dec0 = ai8x.FusedConv2dBNReLU(48, 64, 3, padding=1, **options)
        self.conv_p1 = ai8x.FusedConv2dBNReLU(64, 64, 1, **options)
        self.conv_p2 = ai8x.FusedConv2dBNReLU(64, 64, 1, **options)
        self.conv_p3 = ai8x.FusedConv2dBN(64, 64, 1, **options)
        self.conv = ai8x.FusedConv2dBN(64, outputs, 1, **options)

    def prepare(self, x: Tensor) -> Tensor:
        """Reduce the channels."""
        prepared: Tensor = self.prep2(self.prep1(self.prep0(x)))
        return prepared

    def finish(self, x: Tensor) -> Tensor:
        """Return the folded scores."""
        scores: Tensor = self.conv(self.conv_p3(self.conv_p2(self.conv_p1(self.dec0(x)))))
        return scores


def ai85unetsmall(pretrained: bool = False, **kwargs: Any) -> AI85UNetSmall:
    """Small U-Net for 80×80 pixels; needs --use-bias."""
    _refuse(pretrained)
    return AI85UNetSmall(**kwargs)


def ai85unetmedium(pretrained: bool = False, **kwargs: Any) -> AI85UNetMedium:
    """Medium U-Net for 80×80 pixels; needs --use-bias."""
    _refuse(pretrained)
    return AI85UNetMedium(**kwargs)


def ai85unetlarge(pretrained: bool = False, **kwargs: Any) -> AI85UNetLarge:
    """U-Net for 352×352 pixels folded by 4; needs --use-bias and --out-fold-ratio 4."""
    _refuse(pretrained)
    return AI85UNetLarge(**kwargs)


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("U-Nets come without trained weights")


models = [
    {"name": "ai85unetsmall", "min_input": 1, "dim": 2},
    {"name": "ai85unetmedium", "min_input": 1, "dim": 2},
    {"name": "ai85unetlarge", "min_input": 1, "dim": 2},
]
