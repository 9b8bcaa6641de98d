"""Keyword spotting, found by architecture search."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85KWS20NetNAS(nn.Module):
    """Fourteen 1D convolutions of 1, 3 and 5 taps with batch normalization, and a linear classifier.

    Input (B, num_channels, 128), output (B, num_classes) with 32 bits. Needs biases, into which the batch normalization
    is folded.
    """

    def __init__(
        self,
        num_classes: int = 21,
        num_channels: int = 128,
        dimensions: tuple[int, int] = (128, 1),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        one = {"bias": bias, "batchnorm": "NoAffine", **kwargs}
        three, five = {"padding": 1, **one}, {"padding": 2, **one}
        self.conv1_1 = ai8x.FusedConv1dBNReLU(num_channels, 128, 1, **one)
        self.conv1_2 = ai8x.FusedConv1dBNReLU(128, 64, 3, **three)
        self.conv1_3 = ai8x.FusedConv1dBNReLU(64, 128, 3, **three)
        self.conv2_1 = ai8x.FusedMaxPoolConv1dBNReLU(128, 128, 3, **three)
        self.conv2_2 = ai8x.FusedConv1dBNReLU(128, 64, 1, **one)
        self.conv2_3 = ai8x.FusedConv1dBNReLU(64, 128, 1, **one)
        self.conv3_1 = ai8x.FusedMaxPoolConv1dBNReLU(128, 128, 3, **three)
        self.conv3_2 = ai8x.FusedConv1dBNReLU(128, 64, 5, **five)
        self.conv4_1 = ai8x.FusedMaxPoolConv1dBNReLU(64, 128, 5, **five)
        self.conv4_2 = ai8x.FusedConv1dBNReLU(128, 128, 1, **one)
        self.conv5_1 = ai8x.FusedMaxPoolConv1dBNReLU(128, 128, 5, **five)
        self.conv5_2 = ai8x.FusedConv1dBNReLU(128, 64, 3, **three)
        self.conv6_1 = ai8x.FusedMaxPoolConv1dBNReLU(64, 64, 5, **five)
        self.conv6_2 = ai8x.FusedConv1dBNReLU(64, 128, 1, **one)
        self.fc = ai8x.Linear(128 * (dimensions[0] // 32), num_classes, bias=bias, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv1_3(self.conv1_2(self.conv1_1(x)))
        x = self.conv2_3(self.conv2_2(self.conv2_1(x)))
        x = self.conv4_2(self.conv4_1(self.conv3_2(self.conv3_1(x))))
        x = self.conv6_2(self.conv6_1(self.conv5_2(self.conv5_1(x))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85kws20netnas(pretrained: bool = False, **kwargs: Any) -> AI85KWS20NetNAS:
    """Keyword spotting, found by architecture search (424,448 weights); needs --use-bias."""
    if pretrained:
        raise ValueError("ai85kws20netnas comes without trained weights")
    return AI85KWS20NetNAS(**kwargs)


models = [{"name": "ai85kws20netnas", "min_input": 1, "dim": 1}]
