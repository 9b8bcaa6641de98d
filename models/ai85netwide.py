"""Networks with layers of many channels, and a classifier in software."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x
from ai8x_tool.compat.modules import SoftwareLinear


class AI85NetWide(nn.Module):
    """Four 3×3 convolutions with outputs of `widths`, and a linear classifier that the deployed program computes.

    Input (B, num_channels, 28 or 32, the same), output (B, num_classes).
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        num_classes: int = 10,
        num_channels: int = 1,
        dimensions: tuple[int, int] = (28, 28),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions not in ((28, 28), (32, 32)):
            given = f"{dimensions[0]}×{dimensions[1]}"
            raise ValueError(f"this network requires images of 28×28 or 32×32 pixels, not {given}")
        first, second, third, last = widths
        options = {"padding": 1, "bias": bias, **kwargs}
        pad = 2 if dimensions[0] == 28 else 1
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, first, 3, **options)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(first, second, 3, **{**options, "padding": pad})
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(second, third, 3, **options)
        self.conv4 = ai8x.FusedAvgPoolConv2dReLU(third, last, 3, **options)
        self.fc = SoftwareLinear(last * 4 * 4, num_classes, bias=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85netwide(pretrained: bool = False, **kwargs: Any) -> AI85NetWide:
    """Network with a layer of 128 channels and a classifier in software (108,480 weights)."""
    _refuse(pretrained)
    return AI85NetWide((128, 60, 56, 12), **kwargs)


def ai85net80wide(pretrained: bool = False, **kwargs: Any) -> AI85NetWide:
    """Network with a layer of 80 channels and a classifier in software (82,128 weights)."""
    _refuse(pretrained)
    return AI85NetWide((80, 60, 56, 12), **kwargs)


def ai85net80expansion(pretrained: bool = False, **kwargs: Any) -> AI85NetWide:
    """Network with 80 channels between layers of 16, and a classifier in software (26,832 weights)."""
    _refuse(pretrained)
    return AI85NetWide((16, 80, 16, 12), **kwargs)


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("networks for tests come without trained weights")


models = [
    {"name": "ai85netwide", "min_input": 1, "dim": 2},
    {"name": "ai85net80wide", "min_input": 1, "dim": 2},
    {"name": "ai85net80expansion", "min_input": 1, "dim": 2},
]
