"""Keyword spotting, first version: 1×1 convolutions over time, then a 2D network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85KWS20Net(nn.Module):
    """Four 1D convolutions, five 2D convolutions over 16 rows of 8 columns, and a linear classifier.

    Input (B, num_channels, 128), output (B, num_classes) with 32 bits.
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
            raise ValueError(f"ai85kws20net requires 128 columns, not {dimensions[0]}")
        one = {"bias": bias, **kwargs}
        three = {"padding": 1, **one}
        self.voice_conv1 = ai8x.FusedConv1dReLU(num_channels, 100, 1, **one)
        self.voice_conv2 = ai8x.FusedConv1dReLU(100, 100, 1, **one)
        self.voice_conv3 = ai8x.FusedConv1dReLU(100, 50, 1, **one)
        self.voice_conv4 = ai8x.FusedConv1dReLU(50, 16, 1, **one)
        self.kws_conv1 = ai8x.FusedConv2dReLU(16, 32, 3, **three)
        self.kws_conv2 = ai8x.FusedConv2dReLU(32, 64, 3, **three)
        self.kws_conv3 = ai8x.FusedConv2dReLU(64, 64, 3, **three)
        self.kws_conv4 = ai8x.FusedConv2dReLU(64, 30, 3, **three)
        self.kws_conv5 = ai8x.FusedConv2dReLU(30, 7, 3, **three)
        self.fc = ai8x.Linear(7 * 16 * 8, num_classes, wide=True, **one)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.voice_conv4(self.voice_conv3(self.voice_conv2(self.voice_conv1(x))))
        x = x.view(x.shape[0], x.shape[1], 16, 8)
        x = self.kws_conv5(self.kws_conv4(self.kws_conv3(self.kws_conv2(self.kws_conv1(x)))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85kws20net(pretrained: bool = False, **kwargs: Any) -> AI85KWS20Net:
    """Keyword spotting, first version (126,490 weights)."""
    if pretrained:
        raise ValueError("ai85kws20net comes without trained weights")
    return AI85KWS20Net(**kwargs)


models = [{"name": "ai85kws20net", "min_input": 1, "dim": 1}]
