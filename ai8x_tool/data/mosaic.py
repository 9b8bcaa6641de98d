"""Bayer mosaic of a color sensor: every pixel has one color only."""

from __future__ import annotations

import torch
from torch import Tensor


def mosaic(pictures: Tensor) -> Tensor:
    """Return red, green and blue (B, 3, 2·H, 2·W) as the folded mosaic (B, 4, H, W) with rows G B … and R G ….

    The channels are green, blue, red and green: the values of a sensor at the four positions of a 2×2 block.
    """
    red, green, blue = pictures.unbind(dim=1)
    parts = (green[:, ::2, ::2], blue[:, ::2, 1::2], red[:, 1::2, ::2], green[:, 1::2, 1::2])
    return torch.stack(parts, dim=1)
