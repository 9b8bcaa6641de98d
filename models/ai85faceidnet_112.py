"""Face identification with 112×112 pixels."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .bottlenecks import Stage, feature_stage

STAGES = (
    Stage(1, 32, 48, 2, 2),
    Stage(1, 48, 64, 2, 4),
    Stage(1, 64, 64, 1, 2),
    Stage(1, 64, 96, 2, 4),
    Stage(1, 96, 128, 1, 2),
)


class AI85FaceIDNet112(nn.Module):
    """Bottlenecks of ordinary convolutions, and an average over the image.

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
            raise ValueError(f"ai85faceidnet_112 requires 112×112 pixels, not {dimensions[0]}×{dimensions[1]}")
        plain = {"padding": 1, "bias": False, **kwargs}
        self.pre_stage = ai8x.FusedConv2dReLU(3, 32, 3, **plain)
        self.pre_stage_2 = ai8x.FusedMaxPoolConv2dReLU(32, 32, 3, **plain)
        self.feature_stage = feature_stage(
            ai8x.ConvResidualBottleneck, STAGES, lambda _number: True, bias=bias, **kwargs
        )
        self.post_stage = ai8x.FusedConv2dReLU(128, 128, 1, **{**plain, "padding": 0})
        self.pre_avg = ai8x.Conv2d(128, 128, 3, **plain)
        self.avg_pool = ai8x.AvgPool2d(7, stride=1, **kwargs)
        self.linear = ai8x.Linear(128, dimensionality, bias=bias, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings."""
        if x.shape[1] == 6:
            x = x[:, :3]
        x = self.feature_stage(self.pre_stage_2(self.pre_stage(x)))
        x = self.avg_pool(self.pre_avg(self.post_stage(x)))
        return F.normalize(self.linear(x.flatten(1)), dim=1)


def ai85faceidnet_112(pretrained: bool = False, **kwargs: Any) -> AI85FaceIDNet112:
    """Face identification with 112×112 pixels, 64 numbers per face (890,720 weights); needs --use-bias."""
    if pretrained:
        raise ValueError("ai85faceidnet_112 comes without trained weights")
    return AI85FaceIDNet112(**kwargs)


models = [{"name": "ai85faceidnet_112", "min_input": 1, "dim": 2, "dr": True}]
