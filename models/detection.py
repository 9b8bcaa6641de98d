"""Prior boxes and order of predictions, which the detectors of this folder share. Not a model by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as ai8x


def center_priors(
    maps: Sequence[tuple[int, int, float]], ratios: Sequence[float], multiples: Sequence[float] = (1.0,)
) -> Tensor:
    """Return the prior boxes (P, 4) in center form, clipped to [0, 1].

    `maps` are (rows, columns, size of the objects) of the feature maps. The order is by map, row, column, ratio of
    width to height, and multiple of the size.
    """
    boxes = []
    for rows, columns, scale in maps:
        ys, xs = (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        size = scale * torch.tensor(multiples).repeat(len(ratios))
        ratio = torch.tensor(ratios).sqrt().repeat_interleave(len(multiples))
        sizes = torch.stack([size * ratio, size / ratio], dim=1).expand(rows, columns, -1, 2)
        centers = torch.stack([x, y], dim=2)[:, :, None].expand_as(sizes)
        boxes.append(torch.cat([centers, sizes], dim=3).reshape(-1, 4))
    return torch.cat(boxes).clamp(0, 1)


def by_prior(prediction: Tensor, values: int) -> Tensor:
    """Return a map of predictions (B, A·`values`, H, W), of A priors per cell, by prior: (B, H·W·A, `values`)."""
    return prediction.permute(0, 2, 3, 1).reshape(prediction.shape[0], -1, values)


class Auxiliary(nn.Module):
    """Two convolutions that make the smallest feature map from that of 32 channels before it."""

    def __init__(self, bias: bool, kwargs: Any) -> None:
        super().__init__()
        self.conv12_1 = ai8x.FusedConv2dBNReLU(32, 16, 3, padding=1, bias=bias, **kwargs)
        self.conv12_2 = ai8x.FusedMaxPoolConv2dBNReLU(16, 16, 3, padding=1, bias=bias, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 16, H/2, W/2)."""
        result: Tensor = self.conv12_2(self.conv12_1(x))
        return result


class Predictions(nn.Module):
    """One 3×3 convolution for each kind of prediction and each feature map.

    `kinds` are how many numbers there are per prior, by the beginning of the layers' names; `channels` the channels
    of the feature maps, by their names.
    """

    def __init__(self, kinds: dict[str, int], channels: dict[str, int], priors: int, bias: bool, kwargs: Any) -> None:
        super().__init__()
        self.kinds, self.maps = kinds, tuple(channels)
        for kind, values in kinds.items():
            for name, inputs in channels.items():
                layer = ai8x.FusedConv2dBN(inputs, priors * values, 3, padding=1, bias=bias, **kwargs)
                self.add_module(f"{kind}_{name}", layer)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the predictions by kind: (B, P, numbers per prior) each."""
        return [torch.cat(self._of(kind, values, features), dim=1) for kind, values in self.kinds.items()]

    def _of(self, kind: str, values: int, features: Sequence[Tensor]) -> list[Tensor]:
        layers = [self.get_submodule(f"{kind}_{name}") for name in self.maps]
        return [by_prior(layer(feature), values) for layer, feature in zip(layers, features, strict=True)]
