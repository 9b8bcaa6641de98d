"""Levels of U-Nets, which the models for segmentation share. Not a model by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class UNet(nn.Module, ABC):
    """Three levels down, three up; each level up also sees the level down of the same size.

    Layers are named as in the reference's checkpoints, and defined in the order of computation.
    """

    def add_levels(
        self, channels: int, encoder: tuple[int, int, int, int], decoder: tuple[int, int, int], bias: bool, kwargs: Any
    ) -> None:
        """Add the levels for an input of so many `channels`.

        `encoder` are the channels of the three levels and the bottleneck, `decoder` those on the way up.
        """
        e1, e2, e3, bottom = encoder
        d3, d2, d1 = decoder
        options = {"padding": 1, "bias": bias, "batchnorm": "NoAffine", **kwargs}
        self.enc1 = ai8x.FusedConv2dBNReLU(channels, e1, 3, **options)
        self.enc2 = ai8x.FusedMaxPoolConv2dBNReLU(e1, e2, 3, **options)
        self.enc3 = ai8x.FusedMaxPoolConv2dBNReLU(e2, e3, 3, **options)
        self.bneck = ai8x.FusedMaxPoolConv2dBNReLU(e3, bottom, 3, **options)
        self.upconv3 = _upwards(bottom, e3, kwargs)
        self.dec3 = ai8x.FusedConv2dBNReLU(2 * e3, d3, 3, **options)
        self.upconv2 = _upwards(d3, e2, kwargs)
        self.dec2 = ai8x.FusedConv2dBNReLU(2 * e2, d2, 3, **options)
        self.upconv1 = _upwards(d2, e1, kwargs)
        self.dec1 = ai8x.FusedConv2dBNReLU(2 * e1, d1, 3, **options)

    def prepare(self, x: Tensor) -> Tensor:
        """Compute the layers before the first level."""
        return x

    @abstractmethod
    def finish(self, x: Tensor) -> Tensor:
        """Compute the layers after the last level."""

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class and pixel."""
        first = self.enc1(self.prepare(x))
        second = self.enc2(first)
        third = self.enc3(second)
        x = self.dec3(torch.cat((self.upconv3(self.bneck(third)), third), dim=1))
        x = self.dec2(torch.cat((self.upconv2(x), second), dim=1))
        x = self.dec1(torch.cat((self.upconv1(x), first), dim=1))
        return self.finish(x)


def _upwards(inputs: int, outputs: int, kwargs: Any) -> ai8x.ConvTranspose2d:
    return ai8x.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, bias=True, **kwargs)
