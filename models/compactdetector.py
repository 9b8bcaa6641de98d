"""Small single-shot detectors for images of your own: boxes and classes of objects."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .detection import Predictions, center_priors

WIDTHS = (16, 32, 48, 64, 64, 64)
"""Channels of the stages; each but the first halves rows and columns first. The last three have predictions."""
SCALES = (0.2, 0.4, 0.7)
"""Sizes of the objects that each of them looks for, as shares of the image."""
RATIOS = (1.0, 2.0, 0.5)
"""Widths over heights of the boxes that predictions start from."""
SMALLEST = 32


class Compactdetector(nn.Module):
    """(B, num_channels, rows, columns) to locations (B, P, 4) and scores (B, P, num_classes with background).

    Both have 32 bits. P is the number of prior boxes, `priors_cxcy` (P, 4).
    """

    are_locations_wide = are_scores_wide = True

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (64, 64),
        bias: bool = True,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        del bias  # batch normalization is folded into biases
        if min(dimensions) < SMALLEST:
            raise ValueError(f"compactdetector requires at least {SMALLEST} rows and columns")
        sizes, layers, channels = [dimensions], [], num_channels
        for number, width in enumerate(WIDTHS):
            kind = ai8x.FusedMaxPoolConv2dBNReLU if number else ai8x.FusedConv2dBNReLU
            layers.append(kind(channels, width, 3, padding=1, bias=True, **kwargs))
            sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2) if number else dimensions)
            channels = width
        count = len(SCALES)
        self.base = nn.ModuleList(layers)
        names = [f"map{number}" for number in range(1, count + 1)]
        kinds = {"loc": 4, "cl": num_classes}
        inputs = dict(zip(names, WIDTHS[-count:], strict=True))
        self.pred_convs = Predictions(kinds, inputs, len(RATIOS), True, {**kwargs, "wide": True})
        maps = [(*size, scale) for size, scale in zip(sizes[-count:], SCALES, strict=True)]
        self.priors_cxcy = center_priors(maps, RATIOS).to(torch.device(device))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return locations and scores of all priors."""
        features = []
        for layer in self.base:
            x = layer(x)
            features.append(x)
        locations, scores = self.pred_convs(features[-len(SCALES) :])
        return locations, scores


def compactdetector(pretrained: bool = False, **kwargs: Any) -> Compactdetector:
    """Small single-shot detector for images of at least 32 rows and columns."""
    if pretrained:
        raise ValueError("compactdetector comes without trained weights")
    return Compactdetector(**kwargs)


models = [{"name": "compactdetector", "min_input": 1, "dim": 2}]
