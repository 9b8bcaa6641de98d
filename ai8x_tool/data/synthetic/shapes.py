"""Shapes drawn into batches of images: ten kinds, of any color, position, size and angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

KINDS = 10
"""Number of kinds: disc, square, triangle, ring, plus, cross, rows, columns, diamond, checkers."""
HUES = 10
CHECKERS = 9


def mask(kind: Tensor, place: Tensor, radius: Tensor, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a mask (B, H, W) of the pixels of one shape per image.

    `kind` (B,) is 0 … 9, `place` (B, 2) the center (x, y) and `radius` (B,) in pixels, `angle` (B,) in radians.
    """
    rows, columns = (torch.arange(length) + 0.5 for length in size)
    x = (columns - place[:, 0, None])[:, None] / radius[:, None, None]
    y = (rows - place[:, 1, None])[:, :, None] / radius[:, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    inside = torch.zeros(len(kind), *size, dtype=torch.bool)
    for number in set(kind.tolist()):
        chosen = kind == number
        inside[chosen] = _inside(int(number), u[chosen], v[chosen])
    return inside


def _inside(kind: int, u: Tensor, v: Tensor) -> Tensor:
    """Return a mask of the points, in units of the radius, that belong to a shape."""
    farthest, distance = torch.maximum(u.abs(), v.abs()), u.square() + v.square()
    square = farthest < 1
    return (
        lambda: distance < 1,
        lambda: square,
        lambda: square & (u.abs() < (v + 1) / 2),
        lambda: (distance < 1) & (distance > 0.36),
        lambda: square & (torch.minimum(u.abs(), v.abs()) < 0.3),
        lambda: square & (torch.minimum((u - v).abs(), (u + v).abs()) < 0.45),
        lambda: square & (((v + 1) * 2.5).floor() % 2 == 0),
        lambda: square & (((u + 1) * 2.5).floor() % 2 == 0),
        lambda: u.abs() + v.abs() < 1,
        lambda: square & ((((u + 1) * 1.5).floor() + ((v + 1) * 1.5).floor()) % 2 == 0),
    )[kind]()


def color(share: Tensor, channels: int) -> Tensor:
    """Return colors (B, channels), 0 … 1: the hues 0 ≤ `share` < 1 around the circle, or grays for one channel."""
    if channels == 1:
        return 0.55 + 0.45 * share[:, None]
    steps = torch.arange(channels) / channels
    return 0.5 + 0.5 * (2 * math.pi * (share[:, None] - steps)).cos()


def paint(picture: Tensor, inside: Tensor, colors: Tensor) -> Tensor:
    """Return images (B, C, H, W) in which the pixels of the mask (B, H, W) have the colors (B, C)."""
    return torch.where(inside[:, None], colors[:, :, None, None], picture)


def noise(seed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return pseudorandom numbers −1 … 1 (B, *shape) that depend only on `seed` (B,) and the position."""
    count = math.prod(shape)
    angle = torch.arange(count) * 12.9898 + seed[:, None] * 78.233
    return ((angle.sin() * 43758.5453).frac()).reshape(-1, *shape)
