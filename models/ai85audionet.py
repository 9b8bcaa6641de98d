"""Keyword spotting, an early network: 1×1 convolutions over time, then a 2D network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

TIME = (100, 50, 50, 50, 50, 16)
"""Outputs of the convolutions over time."""
IMAGE = (15, 30, 60, 30, 30, 7)
"""Outputs of the 2D convolutions."""


class AI85AudioNet(nn.Module):
    """Six 1D convolutions, six 2D convolutions over 16 rows of 8 columns, and a linear classifier.

    Input (B, num_channels, 128), output (B, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 21,
        num_channels: int = 128,
        dimensions: tuple[int, int] = (128, 1),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions[0] != 128:
            raise ValueError(f"ai85audionet requires 128 columns, not {dimensions[0]}")
        inputs = num_channels
        for number, outputs in enumerate(TIME, 1):
            self.add_module(f"mfcc_conv{number}", ai8x.FusedConv1dReLU(inputs, outputs, 1, bias=bias, **kwargs))
            inputs = outputs
        for number, outputs in enumerate(IMAGE, 1):
            layer = ai8x.FusedConv2dReLU(inputs, outputs, 3, padding=1, bias=bias, **kwargs)
            self.add_module(f"kws_conv{number}", layer)
            inputs = outputs
        self.fc = ai8x.Linear(inputs * 16 * 8, num_classes, bias=bias, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        for number in range(1, len(TIME) + 1):
            x = self.get_submodule(f"mfcc_conv{number}")(x)
        x = x.view(x.shape[0], x.shape[1], 16, 8)
        for number in range(1, len(IMAGE) + 1):
            x = self.get_submodule(f"kws_conv{number}")(x)
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85audionet(pretrained: bool = False, **kwargs: Any) -> AI85AudioNet:
    """Keyword spotting, an early network (93,516 weights)."""
    if pretrained:
        raise ValueError("ai85audionet comes without trained weights")
    return AI85AudioNet(**kwargs)


models = [{"name": "ai85audionet", "min_input": 1, "dim": 1}]
