"""Single-shot detector of faces in 224×168 pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .detection import Auxiliary, Predictions, center_priors

MAPS = ((28, 21, 0.35715), (7, 5, 0.7143))
"""Rows and columns of each feature map that has predictions, and the size of its objects."""
CHANNELS = {"fire9": 32, "conv12_2": 16}
RATIOS = (0.9, 0.75)
"""Widths over heights of the priors of every cell."""


class _Base(nn.Module):
    def __init__(self, channels: int, bias: bool, kwargs: Any) -> None:
        super().__init__()
        options = {"padding": 1, "bias": bias, **kwargs}
        plain = {**options, "bias": False}
        self.fire1 = ai8x.FusedMaxPoolConv2dReLU(channels, 16, 3, **plain)
        self.fire2 = ai8x.FusedMaxPoolConv2dReLU(16, 32, 3, **plain)
        self.fire3 = ai8x.FusedConv2dBNReLU(32, 64, 3, **options)
        self.fire4 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.fire5 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.fire6 = ai8x.FusedConv2dBNReLU(64, 64, 3, **options)
        self.fire7 = ai8x.FusedConv2dBNReLU(64, 128, 3, **options)
        self.fire8 = ai8x.FusedConv2dBNReLU(128, 32, 3, **options)
        self.fire9 = ai8x.FusedMaxPoolConv2dBNReLU(32, 32, 3, **options)
        self.fire10 = ai8x.FusedMaxPoolConv2dBNReLU(32, 32, 3, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fire4(self.fire3(self.fire2(self.fire1(x))))
        ninth = self.fire9(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        return ninth, self.fire10(ninth)


class AI85TinierSSDFace(nn.Module):
    """(B, num_channels, 224, 168) to locations (B, 1246, 4) and scores (B, 1246, num_classes with background)."""

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (224, 168),
        bias: bool = True,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (224, 168):
            raise ValueError(f"ai85tinierssdface requires 224×168 pixels, not {dimensions[0]}×{dimensions[1]}")
        self.base = _Base(num_channels, bias, kwargs)
        self.aux_convs = Auxiliary(bias, kwargs)
        self.pred_convs = Predictions({"loc": 4, "cl": num_classes}, CHANNELS, len(RATIOS), bias, kwargs)
        self.priors_cxcy = center_priors(MAPS, RATIOS).to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return locations and scores of all priors."""
        ninth, tenth = self.base(x)
        locations, scores = self.pred_convs((ninth, self.aux_convs(tenth)))
        return locations, scores


def ai85tinierssdface(pretrained: bool = False, **kwargs: Any) -> AI85TinierSSDFace:
    """Single-shot detector of faces in 224×168 pixels; needs --use-bias and --obj-detection."""
    if pretrained:
        raise ValueError("ai85tinierssdface comes without trained weights")
    return AI85TinierSSDFace(**kwargs)


models = [{"name": "ai85tinierssdface", "min_input": 1, "dim": 2}]
