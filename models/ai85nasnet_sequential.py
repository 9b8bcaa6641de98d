"""Largest networks of the architecture searches for CIFAR-100 and for keyword spotting."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class Unit(nn.Module):
    """Convolutions of one width with batch normalization; max pooling before the first if `pooled`."""

    def __init__(
        self, inputs: int, outputs: int, depth: int, kernel: int, *, dim: int, pooled: bool, bias: bool, kwargs: Any
    ) -> None:
        super().__init__()
        plain = ai8x.FusedConv1dBNReLU if dim == 1 else ai8x.FusedConv2dBNReLU
        first = {1: ai8x.FusedMaxPoolConv1dBNReLU, 2: ai8x.FusedMaxPoolConv2dBNReLU}[dim] if pooled else plain
        self.layers = nn.ModuleList()
        for number in range(depth):
            make = first if number == 0 else plain
            self.layers.append(make(inputs, outputs, kernel, padding=kernel // 2, bias=bias, **kwargs))
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, …), of half the size if pooled."""
        for layer in self.layers:
            x = layer(x)
        return x


class SequentialNet(nn.Module):
    """Units of convolutions and a linear classifier: the network of full depth, width and kernels.

    `units` are (depth, width) each. Output (B, num_classes) with 32 bits. Needs biases.
    """

    def __init__(
        self,
        units: tuple[tuple[int, int], ...],
        kernel: int,
        num_classes: int,
        num_channels: int,
        dimensions: tuple[int, int],
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        dim = 1 if dimensions[1] == 1 else 2
        self.units = nn.ModuleList()
        inputs = num_channels
        for number, (depth, width) in enumerate(units):
            options = {"dim": dim, "pooled": number > 0, "bias": bias, "kwargs": kwargs}
            self.units.append(Unit(inputs, width, depth, kernel, **options))
            inputs = width
        pixels = math.prod(size // 2 ** (len(units) - 1) for size in dimensions[:dim])
        self.classifier = ai8x.Linear(inputs * pixels, num_classes, bias=bias, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        for unit in self.units:
            x = unit(x)
        scores: Tensor = self.classifier(x.flatten(1))
        return scores


def ai85nasnet_sequential_cifar100(pretrained: bool = False, **kwargs: Any) -> SequentialNet:
    """Largest network of the search for CIFAR-100 (1,380,032 weights); needs --use-bias."""
    _refuse(pretrained)
    units = ((4, 64), (3, 64), (3, 128), (3, 128), (2, 128))
    given = {"num_classes": 100, "num_channels": 3, "dimensions": (32, 32), **kwargs}
    return SequentialNet(units, 3, **given)


def ai85nasnet_sequential_kws20(pretrained: bool = False, **kwargs: Any) -> SequentialNet:
    """Largest network of the search for keyword spotting (1,157,632 weights); needs --use-bias."""
    _refuse(pretrained)
    units = ((3, 128), (3, 128), (2, 128), (2, 128), (2, 128), (2, 128))
    given = {"num_classes": 21, "num_channels": 128, "dimensions": (128, 1), **kwargs}
    return SequentialNet(units, 5, **given)


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("networks of an architecture search come without trained weights")


models = [
    {"name": "ai85nasnet_sequential_cifar100", "min_input": 1, "dim": 2},
    {"name": "ai85nasnet_sequential_kws20", "min_input": 1, "dim": 1},
]
