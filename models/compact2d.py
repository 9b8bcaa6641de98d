"""Small networks for data of your own: images, sounds and time series of any size."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

WIDTHS = (16, 32, 48, 64, 64)
"""Channels of the stages, the last ones if there are more; each but the first halves rows and columns first.

There are as many as leave at most four rows and columns."""
DROPOUT = 0.2
SMALLEST = 4


def stages(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the sizes of the maps of all stages for inputs of `sizes`."""
    found = [sizes]
    while max(found[-1]) > SMALLEST:
        found.append(tuple(max(1, size // 2) for size in found[-1]))
    return found


class Compact2d(nn.Module):
    """Stages of one 3×3 convolution, the largest value of each map, and a linear classifier.

    Input (B, num_channels, rows, columns), output (B, num_classes) with 32 bits.
    """

    def __init__(
        self,
        num_classes: int = 10,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (64, 64),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        del bias  # batch normalization is folded into biases
        sizes, channels = stages(dimensions), num_channels
        layers: list[nn.Module] = []
        for number in range(len(sizes)):
            width = WIDTHS[min(number, len(WIDTHS) - 1)]
            kind = ai8x.FusedMaxPoolConv2dBNReLU if number else ai8x.FusedConv2dBNReLU
            layers.append(kind(channels, width, 3, padding=1, bias=True, **kwargs))
            channels = width
        self.features = nn.Sequential(*layers)
        largest = max(sizes[-1])
        self.pool = ai8x.MaxPool2d(sizes[-1], largest, **kwargs) if largest > 1 else nn.Identity()
        self.drop = ai8x.Dropout(DROPOUT)
        self.classifier = ai8x.Linear(channels, num_classes, bias=True, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.pool(self.features(x))
        scores: Tensor = self.classifier(self.drop(x.flatten(1)))
        return scores


def compact2d(pretrained: bool = False, **kwargs: Any) -> Compact2d:
    """Small image classifier; its depth follows from the size of the images."""
    if pretrained:
        raise ValueError("compact2d comes without trained weights")
    return Compact2d(**kwargs)


models = [{"name": "compact2d", "min_input": 1, "dim": 2}]
