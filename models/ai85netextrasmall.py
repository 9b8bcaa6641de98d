"""The smallest network for handwritten digits."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85NetExtraSmall(nn.Module):
    """Three convolutions of 8 channels and a linear classifier, in 2,504 weights for MNIST.

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
            given = f"{dimensions[0]}×{dimensions[1]}"
            raise ValueError(f"ai85netextrasmall requires images of 28×28 or 32×32 pixels, not {given}")
        pad = 2 if dimensions[0] == 28 else 1
        four = {"pool_size": 4, "pool_stride": 4}
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 8, 3, padding=1, bias=bias, **kwargs)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(8, 8, 3, padding=pad, bias=bias, **kwargs)
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(8, 8, 3, padding=1, bias=bias, **four, **kwargs)
        self.fc = ai8x.Linear(8 * 4 * 4, num_classes, bias=True, wide=True, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        scores: Tensor = self.fc(self.conv3(self.conv2(self.conv1(x))).flatten(1))
        return scores


def ai85netextrasmall(pretrained: bool = False, **kwargs: Any) -> AI85NetExtraSmall:
    """The smallest network for handwritten digits (2,504 weights)."""
    if pretrained:
        raise ValueError("ai85netextrasmall comes without trained weights")
    return AI85NetExtraSmall(**kwargs)


models = [{"name": "ai85netextrasmall", "min_input": 1, "dim": 2}]
