"""Keyword spotting in maps of 64×64, with a classifier in software."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x
from ai8x_tool.compat.modules import SoftwareLinear


class AI85Net20(nn.Module):
    """Six 3×3 convolutions, and a linear classifier that the deployed program computes.

    Input (B, num_channels, 64, 64), output (B, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 21,
        num_channels: int = 1,
        dimensions: tuple[int, int] = (64, 64),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        options = {"padding": 1, "bias": bias, **kwargs}
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 15, 3, **options)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(15, 30, 3, **options)
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(30, 60, 3, **options)
        self.conv4 = ai8x.FusedMaxPoolConv2dReLU(60, 30, 3, **options)
        self.conv5 = ai8x.FusedMaxPoolConv2dReLU(30, 30, 3, **options)
        self.conv6 = ai8x.FusedConv2dReLU(30, 30, 3, **options)
        rows, columns = (size // 16 for size in dimensions)
        self.fc = SoftwareLinear(30 * rows * columns, num_classes, bias=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv6(self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x))))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85net20(pretrained: bool = False, **kwargs: Any) -> AI85Net20:
    """Keyword spotting in maps of 64×64, with a classifier in software (62,865 weights)."""
    if pretrained:
        raise ValueError("ai85net20 comes without trained weights")
    return AI85Net20(**kwargs)


models = [{"name": "ai85net20", "min_input": 1, "dim": 2}]
