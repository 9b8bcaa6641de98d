"""Single-shot detector for 74×74 pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

MAPS = {"fire8": (18, 0.15), "fire9": (9, 0.35), "fire10": (4, 0.55), "conv12_2": (2, 0.725)}
"""Side of each feature map that has predictions, and the size of its objects."""
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


class _Auxiliary(nn.Module):
    def __init__(self, bias: bool, kwargs: Any) -> None:
        super().__init__()
        self.conv12_1 = ai8x.FusedConv2dBNReLU(32, 16, 3, padding=1, bias=bias, **kwargs)
        self.conv12_2 = ai8x.FusedMaxPoolConv2dBNReLU(16, 16, 3, padding=1, bias=bias, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv12_2(self.conv12_1(x))
        return result


class _Predictions(nn.Module):
    def __init__(self, num_classes: int, bias: bool, kwargs: Any) -> None:
        super().__init__()
        for kind, values in (("loc", 4), ("cl", num_classes)):
            for name in MAPS:
                inputs = 16 if name == "conv12_2" else 32
                layer = ai8x.FusedConv2dBN(inputs, len(RATIOS) * values, 3, padding=1, bias=bias, **kwargs)
                self.add_module(f"{kind}_{name}", layer)

    def forward(self, features: tuple[Tensor, ...], kind: str, values: int) -> Tensor:
        """Return what is predicted for all priors (B, P, `values`)."""
        found = []
        for name, feature in zip(MAPS, features, strict=True):
            prediction = self.get_submodule(f"{kind}_{name}")(feature)
            found.append(prediction.permute(0, 2, 3, 1).reshape(len(prediction), -1, values))
        return torch.cat(found, dim=1)


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
            raise ValueError(f"ai85tinierssd needs 74×74 pixels, not {dimensions[0]}×{dimensions[1]}")
        self.num_classes = num_classes
        self.base = _Base(num_channels, bias, kwargs)
        self.aux_convs = _Auxiliary(bias, kwargs)
        self.pred_convs = _Predictions(num_classes, bias, kwargs)
        self.priors_cxcy = priors().to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return locations and scores of all priors."""
        features = self.base(x)
        features = (*features, self.aux_convs(features[-1]))
        return self.pred_convs(features, "loc", 4), self.pred_convs(features, "cl", self.num_classes)


def priors() -> Tensor:
    """Return the center boxes (1700, 4): by map, row, column, ratio."""
    boxes = []
    for side, scale in MAPS.values():
        place = (torch.arange(side) + 0.5) / side
        rows, columns = torch.meshgrid(place, place, indexing="ij")
        ratio = torch.tensor(RATIOS).sqrt()
        sizes = torch.stack([scale * ratio, scale / ratio], dim=1).expand(side, side, -1, 2)
        centers = torch.stack([columns, rows], dim=2)[:, :, None].expand_as(sizes)
        boxes.append(torch.cat([centers, sizes], dim=3).reshape(-1, 4))
    return torch.cat(boxes).clamp(0, 1)


def ai85tinierssd(pretrained: bool = False, **kwargs: Any) -> AI85TinierSSD:
    """Single-shot detector for 74×74 pixels; needs --use-bias and --obj-detection."""
    if pretrained:
        raise ValueError("ai85tinierssd comes without trained weights")
    return AI85TinierSSD(**kwargs)


models = [{"name": "ai85tinierssd", "min_input": 1, "dim": 2}]
