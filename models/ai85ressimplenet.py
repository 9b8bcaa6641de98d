"""Image classifier of fourteen convolutions with residual connections."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85ResidualSimpleNet(nn.Module):
    """Input (B, num_channels, 32, 32), output (B, num_classes) with 32 bits."""

    def __init__(
        self,
        num_classes: int = 100,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if any(size // 32 != 1 for size in dimensions):  # five times halved, one pixel is left
            sides = f"{dimensions[0]}×{dimensions[1]}"
            raise ValueError(f"ai85ressimplenet requires images of 32 to 63 rows and columns, not {sides}")
        one = {"bias": bias, **kwargs}
        three = {"padding": 1, **one}
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 16, 3, **three)
        self.conv2 = ai8x.FusedConv2dReLU(16, 20, 3, **three)
        self.conv3 = ai8x.FusedConv2dReLU(20, 20, 3, **three)
        self.resid1 = ai8x.Add()
        self.conv4 = ai8x.FusedConv2dReLU(20, 20, 3, **three)
        self.conv5 = ai8x.FusedMaxPoolConv2dReLU(20, 20, 3, **three)
        self.conv6 = ai8x.FusedConv2dReLU(20, 20, 3, **three)
        self.resid2 = ai8x.Add()
        self.conv7 = ai8x.FusedConv2dReLU(20, 44, 3, **three)
        self.conv8 = ai8x.FusedMaxPoolConv2dReLU(44, 48, 3, **three)
        self.conv9 = ai8x.FusedConv2dReLU(48, 48, 3, **three)
        self.resid3 = ai8x.Add()
        self.conv10 = ai8x.FusedMaxPoolConv2dReLU(48, 96, 3, **three)
        self.conv11 = ai8x.FusedMaxPoolConv2dReLU(96, 512, 1, **one)
        self.conv12 = ai8x.FusedConv2dReLU(512, 128, 1, **one)
        self.conv13 = ai8x.FusedMaxPoolConv2dReLU(128, 128, 3, **three)
        self.conv14 = ai8x.Conv2d(128, num_classes, 1, wide=True, **one)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        skip = self.conv2(self.conv1(x))
        x = self.resid1(self.conv3(skip), skip)
        skip = self.conv5(self.conv4(x))
        x = self.resid2(self.conv6(skip), skip)
        skip = self.conv8(self.conv7(x))
        x = self.resid3(self.conv9(skip), skip)
        x = self.conv13(self.conv12(self.conv11(self.conv10(x))))
        scores: Tensor = self.conv14(x)
        return scores.flatten(1)


def ai85ressimplenet(pretrained: bool = False, **kwargs: Any) -> AI85ResidualSimpleNet:
    """Image classifier for 32×32 pixels with residual connections (381,792 weights)."""
    if pretrained:
        raise ValueError("ai85ressimplenet comes without trained weights")
    return AI85ResidualSimpleNet(**kwargs)


models = [{"name": "ai85ressimplenet", "min_input": 1, "dim": 2}]
