"""Single-shot detector for 74×74 pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .detection import Auxiliary, Predictions, center_priors

MAPS = ((18, 18, 0.15), (9, 9, 0.35), (4, 4, 0.55), (2, 2, 0.725))
"""Rows and columns of each feature map that has predictions, and the size of its objects."""
CHANNELS = {"fire8": 32, "fire9": 32, "fire10": 32, "conv12_2": 16}
RATIOS = (0.85, 0.6, 0.4, 0.25)
"""Widths over heights of the priors of every cell."""


class _Base(nn.Module):
    def __init__(self, channels: int, bias: bool, kwargs: Any) -> None:
        super().__init__()
        options = {"padding": 1, "bias": bias, **kwargs}
        three = {"pool_size": 3, "pool_stride": 2, **options}
        self.fire1 = ai8x.FusedConv2dBNReLU(channels, 32, 3, **options)
        self.fire2 = ai8x.FusedConv2dBNReLU(32, 32, 3, **options)
        self.fire3 = ai8x.FusedMaxPoolConv2dBNReLU(32, 64, 3, **options)
        self.fire4 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.fire5 = ai8x.FusedMaxPoolConv2dBNReLU(64, 64, 3, **three)
        self.fire6 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.fire7 = ai8x.FusedConv2dBNReLU(64, 128, 3, **options)
        self.fire8 = ai8x.FusedConv2dBNReLU(128, 32, 3, **options)
        self.fire9 = ai8x.FusedMaxPoolConv2dBNReLU(32, 32, 3, **options)
        self.fire10 = ai8x.FusedMaxPoolConv2dBNReLU(32, 32, 3, **three)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.fire5(self.fire4(self.fire3(self.fire2(self.fire1(x)))))
        eighth = self.fire8(self.fire7(self.fire6(x)))
        ninth = self.fire9(eighth)
        return eighth, ninth, self.fire10(ninth)


class AI85TinierSSD(nn.Module):
    """(B, num_channels, 74, 74) to locations (B, 1700, 4) and scores (B, 1700, num_classes with background)."""

    def __init__(
        self,
        num_classes: int = 11,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (74, 74),
        bias: bool = True,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (74, 74):
            raise ValueError(f"ai85tinierssd requires 74×74 pixels, not {dimensions[0]}×{dimensions[1]}")
        self.base = _Base(num_channels, bias, kwargs)
        self.aux_convs = Auxiliary(bias, kwargs)
        self.pred_convs = Predictions({"loc": 4, "cl": num_classes}, CHANNELS, len(RATIOS), bias, kwargs)
        self.priors_cxcy = center_priors(MAPS, RATIOS).to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return locations and scores of all priors."""
        features = self.base(x)
        locations, scores = self.pred_convs((*features, self.aux_convs(features[-1])))
        return locations, scores


def ai85tinierssd(pretrained: bool = False, **kwargs: Any) -> AI85TinierSSD:
    """Single-shot detector for 74×74 pixels; needs --use-bias and --obj-detection."""
    if pretrained:
        raise ValueError("ai85tinierssd comes without trained weights")
    return AI85TinierSSD(**kwargs)


models = [{"name": "ai85tinierssd", "min_input": 1, "dim": 2}]
