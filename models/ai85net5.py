"""Five-layer network for 28×28 and 32×32 images."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85Net5(nn.Module):
    """Four 3×3 convolutions and a linear classifier; MNIST in 71,148 weights.

    Input (B, num_channels, 28 or 32, the same), output (B, num_classes) with 32 bits. The padding of the second
    convolution makes up for the smaller input.
    """

    def __init__(
        self,
        num_classes: int = 10,
        num_channels: int = 1,
        dimensions: tuple[int, int] = (28, 28),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions not in ((28, 28), (32, 32)):
            raise ValueError(f"ai85net5 requires images of 28×28 or 32×32 pixels, not {dimensions[0]}×{dimensions[1]}")
        pad = 2 if dimensions[0] == 28 else 1
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 60, 3, padding=1, bias=bias, **kwargs)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(60, 60, 3, padding=pad, bias=bias, **kwargs)
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(60, 56, 3, padding=1, bias=bias, **kwargs)
        self.conv4 = ai8x.FusedAvgPoolConv2dReLU(56, 12, 3, padding=1, bias=bias, **kwargs)
        self.fc = ai8x.Linear(12 * 4 * 4, num_classes, bias=True, wide=True, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85net5(pretrained: bool = False, **kwargs: Any) -> AI85Net5:
    """Small image classifier (MNIST, FashionMNIST, CIFAR-10)."""
    if pretrained:
        raise ValueError("ai85net5 comes without trained weights")
    return AI85Net5(**kwargs)


models = [{"name": "ai85net5", "min_input": 1, "dim": 2}]
