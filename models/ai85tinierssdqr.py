"""Single-shot detector of QR codes and their corners in 120×160 pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .detection import Auxiliary, Predictions, center_priors

MAPS = ((15, 20, 0.15), (7, 10, 0.35), (3, 5, 0.55), (1, 2, 0.725))
"""Rows and columns of each feature map that has predictions, and the size of its objects."""
CHANNELS = {"fire8": 32, "fire9": 32, "fire10": 32, "conv12_2": 16}
RATIOS = (2.0, 1.2, 0.8, 0.5)
"""Widths over heights of the priors of every cell."""


class _Base(nn.Module):
    def __init__(self, channels: int, bias: bool, kwargs: Any) -> None:
        super().__init__()
        options = {"padding": 1, "bias": bias, **kwargs}
        plain = {**options, "bias": False}
        self.fire1 = ai8x.FusedConv2dReLU(channels, 32, 3, **plain)
        self.fire2 = ai8x.FusedConv2dReLU(32, 32, 3, **plain)
        self.fire3 = ai8x.FusedMaxPoolConv2dReLU(32, 64, 3, **plain)
        self.fire3_1 = ai8x.FusedMaxPoolConv2dReLU(64, 64, 3, **plain)
        self.fire4 = ai8x.FusedConv2dReLU(64, 64, 3, **plain)
        self.fire5 = ai8x.FusedMaxPoolConv2dReLU(64, 64, 3, **plain)
        self.fire6 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.fire7 = ai8x.FusedConv2dBNReLU(64, 128, 3, **options)
        self.fire8 = ai8x.FusedConv2dBNReLU(128, 32, 3, **options)
        self.fire9 = ai8x.FusedMaxPoolConv2dBNReLU(32, 32, 3, **options)
        self.fire10 = ai8x.FusedMaxPoolConv2dBNReLU(32, 32, 3, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.fire3_1(self.fire3(self.fire2(self.fire1(x))))
        eighth = self.fire8(self.fire7(self.fire6(self.fire5(self.fire4(x)))))
        ninth = self.fire9(eighth)
        return eighth, ninth, self.fire10(ninth)


class AI85TinierSSDQR(nn.Module):
    """(B, num_channels, 120, 160) to locations (B, 1548, 12) and scores (B, 1548, num_classes with background).

    The first four numbers of a location encode the box, the others are the corners of the code relative to the box.
    """

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (120, 160),
        bias: bool = True,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (120, 160):
            raise ValueError(f"ai85tinierssdqr requires 120×160 pixels, not {dimensions[0]}×{dimensions[1]}")
        kinds = {"loc": 4, "kpts": 8, "cl": num_classes}
        self.base = _Base(num_channels, bias, kwargs)
        self.aux_convs = Auxiliary(bias, kwargs)
        self.pred_convs = Predictions(kinds, CHANNELS, len(RATIOS), bias, kwargs)
        self.priors_cxcy = center_priors(MAPS, RATIOS).to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return locations (boxes, then corners) and scores of all priors."""
        features = self.base(x)
        boxes, corners, scores = self.pred_convs((*features, self.aux_convs(features[-1])))
        return torch.cat((boxes, corners), dim=2), scores


def ai85tinierssdqr(pretrained: bool = False, **kwargs: Any) -> AI85TinierSSDQR:
    """Single-shot detector of QR codes and their corners; needs --use-bias and --obj-detection."""
    if pretrained:
        raise ValueError("ai85tinierssdqr comes without trained weights")
    return AI85TinierSSDQR(**kwargs)


models = [{"name": "ai85tinierssdqr", "min_input": 1, "dim": 2}]
