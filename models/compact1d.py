"""Small networks for sounds and time series of your own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

WIDTHS = (64, 64, 64, 64, 64, 64)
"""Channels of the stages, the last ones if there are more; each but the first halves the length first.

There are as many as leave at most four columns."""
DROPOUT = 0.2
SMALLEST, WIDE = 4, 64


class Compact1d(nn.Module):
    """Stages of one convolution over time, the largest value of each channel, and a linear classifier.

    Input (B, num_channels, length), output (B, num_classes) with 32 bits.
    """

    def __init__(
        self,
        num_classes: int = 10,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (128, 1),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        del bias  # batch normalization is folded into biases
        length, channels = dimensions[0], num_channels
        layers: list[nn.Module] = []
        number = 0
        while number == 0 or length > SMALLEST:
            width = WIDTHS[min(number, len(WIDTHS) - 1)]
            # Padding and many input channels exclude each other on some devices.
            kernel = 1 if channels > WIDE else 3 if number else 5
            kind = ai8x.FusedMaxPoolConv1dBNReLU if number else ai8x.FusedConv1dBNReLU
            layers.append(kind(channels, width, kernel, padding=kernel // 2, bias=True, **kwargs))
            length, channels = length // 2 if number else length, width
            number += 1
        self.features = nn.Sequential(*layers)
        self.pool = ai8x.MaxPool1d(length, **kwargs) if length > 1 else nn.Identity()
        self.drop = ai8x.Dropout(DROPOUT)
        self.classifier = ai8x.Linear(channels, num_classes, bias=True, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.pool(self.features(x))
        scores: Tensor = self.classifier(self.drop(x.flatten(1)))
        return scores


def compact1d(pretrained: bool = False, **kwargs: Any) -> Compact1d:
    """Small classifier of sounds and time series; its depth follows from their length."""
    if pretrained:
        raise ValueError("compact1d comes without trained weights")
    return Compact1d(**kwargs)


models = [{"name": "compact1d", "min_input": 1, "dim": 1}]
