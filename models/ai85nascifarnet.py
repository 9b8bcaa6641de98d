"""Image classifier for 32×32 pixels, found by architecture search."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85NASCifarNet(nn.Module):
    """Ten convolutions of 3×3 and 1×1 with batch normalization, and a linear classifier.

    Input (B, num_channels, 32, 32), output (B, num_classes) with 32 bits. Needs biases, into which the batch
    normalization is folded.
    """

    def __init__(
        self,
        num_classes: int = 100,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        one = {"bias": bias, "batchnorm": "NoAffine", **kwargs}
        three = {"padding": 1, **one}
        self.conv1_1 = ai8x.FusedConv2dBNReLU(num_channels, 64, 3, **three)
        self.conv1_2 = ai8x.FusedConv2dBNReLU(64, 32, 1, **one)
        self.conv1_3 = ai8x.FusedConv2dBNReLU(32, 64, 3, **three)
        self.conv2_1 = ai8x.FusedMaxPoolConv2dBNReLU(64, 32, 3, **three)
        self.conv2_2 = ai8x.FusedConv2dBNReLU(32, 64, 1, **one)
        self.conv3_1 = ai8x.FusedMaxPoolConv2dBNReLU(64, 128, 3, **three)
        self.conv3_2 = ai8x.FusedConv2dBNReLU(128, 128, 1, **one)
        self.conv4_1 = ai8x.FusedMaxPoolConv2dBNReLU(128, 64, 3, **three)
        self.conv4_2 = ai8x.FusedConv2dBNReLU(64, 128, 3, **three)
        self.conv5_1 = ai8x.FusedMaxPoolConv2dBNReLU(128, 128, 1, **one)
        self.fc = ai8x.Linear(
            128 * (dimensions[0] // 16) * (dimensions[1] // 16), num_classes, bias=bias, wide=True, **kwargs
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv1_3(self.conv1_2(self.conv1_1(x)))
        x = self.conv3_2(self.conv3_1(self.conv2_2(self.conv2_1(x))))
        x = self.conv5_1(self.conv4_2(self.conv4_1(x)))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85nascifarnet(pretrained: bool = False, **kwargs: Any) -> AI85NASCifarNet:
    """Image classifier found by architecture search (CIFAR-10, CIFAR-100); needs --use-bias."""
    if pretrained:
        raise ValueError("ai85nascifarnet comes without trained weights")
    return AI85NASCifarNet(**kwargs)


models = [{"name": "ai85nascifarnet", "min_input": 1, "dim": 2}]
