"""MobileNets of the second version (MAX78002)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

from .bottlenecks import Stage, feature_stage

IMAGENET = (
    Stage(1, 32, 16, 1, 1),
    Stage(2, 16, 24, 2, 6),
    Stage(3, 24, 32, 2, 6),
    Stage(4, 32, 64, 2, 6),
    Stage(3, 64, 96, 1, 6),
    Stage(3, 96, 160, 2, 6),
    Stage(1, 160, 320, 1, 6),
)
CIFAR100 = (
    Stage(1, 32, 16, 1, 1),
    Stage(2, 16, 24, 2, 6),
    Stage(3, 24, 32, 2, 6),
    Stage(4, 32, 64, 2, 6),
    Stage(3, 64, 128, 1, 6),
    Stage(3, 128, 128, 1, 6),
    Stage(1, 128, 256, 1, 6),
)
CIFAR100_075 = (
    Stage(1, 24, 12, 1, 1),
    Stage(2, 12, 20, 2, 6),
    Stage(3, 20, 24, 2, 6),
    Stage(4, 24, 48, 2, 6),
    Stage(3, 48, 72, 1, 6),
    Stage(3, 72, 120, 1, 6),
    Stage(1, 120, 240, 1, 6),
)
CIFAR100_05 = (
    Stage(1, 16, 8, 1, 1),
    Stage(2, 8, 12, 2, 6),
    Stage(3, 12, 16, 2, 6),
    Stage(4, 16, 32, 2, 6),
    Stage(3, 32, 48, 1, 6),
    Stage(3, 48, 80, 1, 6),
    Stage(1, 80, 160, 1, 6),
)


class AI87MobileNetV2(nn.Module):
    """Input (B, num_channels, N, N), output (B, num_classes) with 32 bits.

    `stages` are the bottlenecks, `width` the channels after them, `stride` that of the first convolution. Needs biases,
    into which the batch normalization is folded; depthwise convolutions have them only if `depthwise_bias`.
    """

    def __init__(
        self,
        stages: tuple[Stage, ...],
        width: int,
        num_classes: int,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = True,
        *,
        stride: int = 1,
        depthwise_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        reduction = stride
        for stage in stages:
            reduction *= stage.stride
        side = dimensions[0] // reduction
        if dimensions[0] != dimensions[1] or side * reduction != dimensions[0]:
            given = f"{dimensions[0]}×{dimensions[1]}"
            raise ValueError(f"this network needs square images of a multiple of {reduction} pixels, not {given}")
        options = {"bias": bias, **kwargs}
        pool = {"pool_size": side, "pool_stride": side}
        first, last = stages[0].inputs, stages[-1].outputs
        self.pre_stage = ai8x.FusedConv2dBNReLU(num_channels, first, 3, stride=stride, padding=1, **options)
        self.feature_stage = feature_stage(ai8x.ResidualBottleneck, stages, lambda _number: depthwise_bias, **options)
        self.post_stage = ai8x.FusedConv2dReLU(last, width, 1, bias=False, **kwargs)
        self.classifier = ai8x.FusedAvgPoolConv2d(width, num_classes, 1, bias=False, wide=True, **pool, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.post_stage(self.feature_stage(self.pre_stage(x)))
        scores: Tensor = self.classifier(x)
        return scores.flatten(1)


def ai87netmobilenetv2(pretrained: bool = False, **kwargs: Any) -> AI87MobileNetV2:
    """MobileNet for 224×224 pixels (3,469,760 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI87MobileNetV2(IMAGENET, 1280, stride=2, **{"num_classes": 1000, "dimensions": (224, 224), **kwargs})


def ai87netmobilenetv2cifar100(pretrained: bool = False, **kwargs: Any) -> AI87MobileNetV2:
    """MobileNet for 32×32 pixels (1,991,104 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI87MobileNetV2(CIFAR100, 1024, **{"num_classes": 100, **kwargs})


def ai87netmobilenetv2cifar100_m0_75(pretrained: bool = False, **kwargs: Any) -> AI87MobileNetV2:
    """MobileNet for 32×32 pixels, of 0.75 times the width (1,341,960 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI87MobileNetV2(CIFAR100_075, 960, **{"num_classes": 100, **kwargs})


def ai87netmobilenetv2cifar100_m0_5(pretrained: bool = False, **kwargs: Any) -> AI87MobileNetV2:
    """MobileNet for 32×32 pixels, of half the width (627,712 weights); needs --use-bias."""
    _refuse(pretrained)
    return AI87MobileNetV2(CIFAR100_05, 640, depthwise_bias=True, **{"num_classes": 100, **kwargs})


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("MobileNets come without trained weights")


models = [
    {"name": "ai87netmobilenetv2", "min_input": 1, "dim": 2},
    {"name": "ai87netmobilenetv2cifar100", "min_input": 1, "dim": 2},
    {"name": "ai87netmobilenetv2cifar100_m0_75", "min_input": 1, "dim": 2},
    {"name": "ai87netmobilenetv2cifar100_m0_5", "min_input": 1, "dim": 2},
]
