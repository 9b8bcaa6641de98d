"""SqueezeNet for 32×32 pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x
from ai8x_tool.compat.modules import SoftwareLinear

FIRES = (
    (64, 16, 64),
    (128, 16, 64),
    (128, 32, 128),
    (256, 32, 128),
    (256, 48, 192),
    (384, 48, 192),
    (384, 48, 256),
    (512, 64, 256),
)
"""Inputs, squeezed channels and outputs of each of the two expansions of the fire modules."""
POOLS = {2: "pool1", 4: "pool2"}
"""Poolings, by the fire module that they follow."""


class AI85SqueezeNet(nn.Module):
    """Input (B, num_channels, 32, 32), output (B, num_classes), which the deployed program computes in software."""

    def __init__(
        self,
        num_classes: int = 10,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.conv1 = ai8x.FusedMaxPoolConv2dReLU(num_channels, 64, 3, padding=1, bias=bias, **kwargs)
        for number, (inputs, squeezed, outputs) in enumerate(FIRES, 1):
            self.add_module(f"fire{number}", ai8x.Fire(inputs, squeezed, outputs, outputs, bias=bias, **kwargs))
            if number in POOLS:
                self.add_module(POOLS[number], nn.MaxPool2d(2))
        side = [size // 8 for size in dimensions]
        self.fc = SoftwareLinear(512 * side[0] * side[1], num_classes, bias=bias)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv1(x)
        for number in range(1, len(FIRES) + 1):
            x = self.get_submodule(f"fire{number}")(x)
            if number in POOLS:
                x = self.get_submodule(POOLS[number])(x)
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85squeezenet(pretrained: bool = False, **kwargs: Any) -> AI85SqueezeNet:
    """SqueezeNet for 32×32 pixels, with a classifier in software (754,368 weights)."""
    if pretrained:
        raise ValueError("ai85squeezenet comes without trained weights")
    return AI85SqueezeNet(**kwargs)


models = [{"name": "ai85squeezenet", "min_input": 1, "dim": 2}]
