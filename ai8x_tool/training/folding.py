"""Folding: neighbouring pixels become channels, so that large images fit. spec: training, section 8.5."""

from __future__ import annotations

from torch import Tensor

from ai8x_tool.errors import Ai8xError


def fold(images: Tensor, ratio: int) -> Tensor:
    """Turn (B, C, H, W) into (B, C·r², H/r, W/r); block i·r + j holds rows i, i + r, … and columns j, j + r, …"""
    batch, channels, height, width = images.shape
    if height % ratio or width % ratio:
        raise Ai8xError(f"images of {height}×{width} pixels cannot be folded by {ratio}")
    blocks = images.view(batch, channels, height // ratio, ratio, width // ratio, ratio)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * ratio**2, height // ratio, width // ratio)


def unfold(maps: Tensor, ratio: int) -> Tensor:
    """Turn (B, C·r², H, W) into (B, C, H·r, W·r), the inverse of :func:`fold`."""
    batch, channels, height, width = maps.shape
    if channels % ratio**2:
        fix = "choose another --out-fold-ratio"
        raise Ai8xError(f"the model has {channels} output channels, not a multiple of {ratio}²", fix=fix)
    blocks = maps.reshape(batch, ratio, ratio, channels // ratio**2, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // ratio**2, height * ratio, width * ratio)
