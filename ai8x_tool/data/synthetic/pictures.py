"""Conversion of images to inputs of networks: folded images, mosaics, pairs and sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ai8x_tool.data.folding import fold
from ai8x_tool.data.mosaic import mosaic

COLORS = 3


@dataclass(frozen=True)
class Layout:
    """The images from which inputs are made: `convert` takes (B, C, H, W) and returns (B, *input)."""

    channels: int
    size: tuple[int, int]
    convert: Callable[[Tensor], Tensor]


def layout(shape: tuple[int, ...]) -> Layout:
    """Return the layout of inputs of the shape (C, H, W).

    Four channels are the folded mosaic of a color sensor, six are two views, and 3·r² an image folded by r.
    """
    channels, height, width = shape
    if channels == COLORS + 1:
        return Layout(COLORS, (2 * height, 2 * width), mosaic)
    if channels == 2 * COLORS:
        return Layout(COLORS, (height, width), lambda picture: torch.cat([picture, picture], dim=1))
    ratio = math.isqrt(channels // COLORS)
    if ratio > 1 and channels == COLORS * ratio**2:
        return Layout(COLORS, (height * ratio, width * ratio), lambda picture: fold(picture, ratio))
    return Layout(channels, (height, width), lambda picture: picture)


def integers(values: Tensor) -> Tensor:
    """Return values 0 … 1 as integers −128 … 127 in float32."""
    return (values * 255 - 128).round().clamp(-128, 127)
