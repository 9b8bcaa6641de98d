"""Decoder of bits in audio frequency-shift keying."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85AFSKNet(nn.Module):
    """Three 1D convolutions and a linear classifier. Input (B, num_channels, 22), output (B, num_classes)."""

    def __init__(
        self,
        num_classes: int = 2,
        num_channels: int = 1,
        dimensions: tuple[int, int] = (22, 1),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        options = {"padding": 2, "bias": bias, **kwargs}
        self.drop = ai8x.Dropout(0.2)
        self.mfcc_conv1 = ai8x.FusedConv1dReLU(num_channels, 64, 5, **options)
        self.mfcc_conv2 = ai8x.FusedConv1dReLU(64, 32, 5, **options)
        self.mfcc_conv4 = ai8x.FusedConv1dReLU(32, 16, 5, **options)
        self.fc = ai8x.Linear(16 * dimensions[0], num_classes, bias=bias, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.mfcc_conv4(self.mfcc_conv2(self.drop(self.mfcc_conv1(x))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85afsknet(pretrained: bool = False, **kwargs: Any) -> AI85AFSKNet:
    """Decoder of bits in audio frequency-shift keying (13,824 weights)."""
    if pretrained:
        raise ValueError("ai85afsknet comes without trained weights")
    return AI85AFSKNet(**kwargs)


models = [{"name": "ai85afsknet", "min_input": 1, "dim": 1}]
