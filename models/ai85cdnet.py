"""Cats or dogs."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85CatsDogsNet(nn.Module):
    """Six 3×3 convolutions and a linear classifier.

    Input (B, num_channels, N, N), output (B, num_classes) with 32 bits. Images of 28 pixels get more padding in the
    second convolution.
    """

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (128, 128),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        side = dimensions[0]
        if dimensions[1] != side:
            raise ValueError(f"ai85cdnet requires square images, not {side}×{dimensions[1]} pixels")
        options = {"padding": 1, "bias": bias, **kwargs}
        pad = 2 if side == 28 else 1
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 16, 3, **options)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(16, 32, 3, **{**options, "padding": pad})
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(32, 64, 3, **options)
        self.conv4 = ai8x.FusedMaxPoolConv2dReLU(64, 32, 3, **options)
        self.conv5 = ai8x.FusedMaxPoolConv2dReLU(32, 32, 3, **options)
        self.conv6 = ai8x.FusedConv2dReLU(32, 16, 3, **options)
        side = (side // 2 + 2 * pad - 2) // 8
        self.fc = ai8x.Linear(16 * side * side, num_classes, bias=True, wide=True, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv6(self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x))))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85cdnet(pretrained: bool = False, **kwargs: Any) -> AI85CatsDogsNet:
    """Cats or dogs in 128×128 pixels (57,776 weights)."""
    if pretrained:
        raise ValueError("ai85cdnet comes without trained weights")
    return AI85CatsDogsNet(**kwargs)


models = [{"name": "ai85cdnet", "min_input": 1, "dim": 2}]
