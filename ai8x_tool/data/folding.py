"""Folding of image pixels into channels, so that large images fit."""

from __future__ import annotations

from torch import Tensor

from ai8x_tool.errors import Ai8xError


def fold(images: Tensor, ratio: int) -> Tensor:
    """Return (…, C, H, W) as (…, C·r², H/r, W/r); channel block i·r + j holds rows i, i+r, … and columns j, j+r, …."""
    *batch, channels, height, width = images.shape
    if ratio < 1 or height % ratio or width % ratio:
        raise Ai8xError(f"an image of {height}×{width} cannot be folded by {ratio}", fix="choose a divisor of both")
    blocks = images.reshape(-1, channels, height // ratio, ratio, width // ratio, ratio).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(*batch, channels * ratio**2, height // ratio, width // ratio)


def unfold(maps: Tensor, ratio: int) -> Tensor:
    """Return (…, K, h, w) as (…, K div r², h·r, w·r), the inverse of :func:`fold`; surplus channels are dropped."""
    *batch, folded, height, width = maps.shape
    channels = folded // ratio**2 if ratio > 0 else 0
    if not channels:
        raise Ai8xError(f"{folded} channels cannot be unfolded by {ratio}", fix=f"they must be at least {ratio**2}")
    whole = maps.reshape(-1, folded, height, width)[:, : channels * ratio**2]
    blocks = whole.reshape(-1, ratio, ratio, channels, height, width).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(*batch, channels, height * ratio, width * ratio)
