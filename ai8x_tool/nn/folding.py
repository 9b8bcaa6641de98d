"""Folding: pixels of an image become channels, so that large images fit. spec: quantization, section 2.2."""

from __future__ import annotations

from torch import Tensor

from ai8x_tool.errors import Ai8xError


def fold_image(image: Tensor, ratio: int) -> Tensor:
    """Return (C, H, W) as (C·r², H/r, W/r); channel block i·r + j holds rows i, i+r, … and columns j, j+r, …."""
    channels, height, width = image.shape
    if ratio < 1 or height % ratio or width % ratio:
        raise Ai8xError(f"an image of {height}×{width} cannot be folded by {ratio}", fix="choose a divisor of both")
    blocks = image.reshape(channels, height // ratio, ratio, width // ratio, ratio)
    return blocks.permute(2, 4, 0, 1, 3).reshape(channels * ratio**2, height // ratio, width // ratio)


def unfold_images(images: Tensor, ratio: int) -> Tensor:
    """Return (B, K, h, w) as (B, K div r², h·r, w·r): the inverse of :func:`fold_image` for a batch."""
    batch, folded, height, width = images.shape
    channels = folded // ratio**2
    if ratio < 1 or not channels:
        raise Ai8xError(f"{folded} channels cannot be unfolded by {ratio}", fix=f"they must be at least {ratio**2}")
    blocks = images[:, : channels * ratio**2].reshape(batch, ratio, ratio, channels, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels, height * ratio, width * ratio)
