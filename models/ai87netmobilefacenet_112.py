"""Face identification with 112×112 pixels (MAX78002)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .bottlenecks import Stage, feature_stage

STAGES = (
    Stage(5, 64, 64, 2, 2),
    Stage(1, 64, 128, 2, 4),
    Stage(6, 128, 128, 1, 2),
    Stage(1, 128, 128, 2, 4),
    Stage(2, 128, 128, 1, 2),
)


class AI87MobileFaceNet112(nn.Module):
    """Bottlenecks of depthwise convolutions; every other one has a bias in its depthwise convolution.

    Input (B, 3, 112, 112); of six channels, which also hold the image for a teacher, the first three are used. Output
    (B, dimensionality): the embedding of a face, of length 1, which is computed in software. Needs biases, into which
    the batch normalization is folded.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (112, 112),
        bias: bool = True,
        dimensionality: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (112, 112):
            raise ValueError(f"ai87netmobilefacenet_112 requires 112×112 pixels, not {dimensions[0]}×{dimensions[1]}")
        seven = {"pool_size": 7, "pool_stride": 1}
        self.pre_stage = ai8x.FusedConv2dReLU(3, 64, 3, padding=1, bias=False, **kwargs)
        self.dwise = ai8x.FusedMaxPoolDepthwiseConv2dReLU(64, 64, 3, padding=1, bias=bias, **kwargs)
        self.feature_stage = feature_stage(
            ai8x.ResidualBottleneck, STAGES, lambda number: number % 2 == 0, bias=bias, **kwargs
        )
        self.post_stage = ai8x.FusedConv2dReLU(128, 128, 1, bias=False, **kwargs)
        self.classifier = ai8x.FusedAvgPoolConv2d(128, dimensionality, 1, bias=False, **seven, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings."""
        if x.shape[1] == 6:
            x = x[:, :3]
        x = self.post_stage(self.feature_stage(self.dwise(self.pre_stage(x))))
        return F.normalize(self.classifier(x).flatten(1), dim=1)


def ai87netmobilefacenet_112(pretrained: bool = False, **kwargs: Any) -> AI87MobileFaceNet112:
    """Face identification with 112×112 pixels, 64 numbers per face (844,416 weights); needs --use-bias."""
    if pretrained:
        raise ValueError("ai87netmobilefacenet_112 comes without trained weights")
    return AI87MobileFaceNet112(**kwargs)


models = [{"name": "ai87netmobilefacenet_112", "min_input": 1, "dim": 2, "dr": True}]
