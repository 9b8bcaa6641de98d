"""Color augmentation of batches (B, 3, H, W), values 0 … 255, with a random amount for each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FULL = 255.0
_GRAY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Jitter:
    """Largest relative change of brightness, contrast and saturation, and of the hue as a fraction of the circle."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.2


def jittered(images: Tensor, jitter: Jitter, generator: torch.Generator, *, probability: float = 1.0) -> Tensor:
    """Return images, each changed with the given probability by random amounts up to those of `jitter`."""
    count = len(images)
    chosen = chance(count, probability, generator)
    amounts = uniform((4, count), -1, 1, generator)
    bright, contrast, saturation = (
        1 + share * amount for share, amount in zip(_shares(jitter), amounts[:3], strict=True)
    )
    changed = (images * bright.view(-1, 1, 1, 1)).clamp(0, FULL)
    changed = _blended(changed, _gray(changed).mean(dim=(1, 2, 3), keepdim=True), contrast)
    changed = _blended(changed, _gray(changed), saturation)
    changed = turned(changed, jitter.hue * amounts[3])
    return torch.where(chosen.view(-1, 1, 1, 1), changed, images)


def _shares(jitter: Jitter) -> tuple[float, float, float]:
    return jitter.brightness, jitter.contrast, jitter.saturation


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return uniformly distributed random numbers in [low, high)."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def chance(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """Return a random mask (count,) that is True with the given probability."""
    return torch.rand(count, generator=generator) < probability


def _gray(images: Tensor) -> Tensor:
    return (images * torch.tensor(_GRAY).view(3, 1, 1)).sum(dim=1, keepdim=True)


def _blended(images: Tensor, other: Tensor, share: Tensor) -> Tensor:
    parts = share.view(-1, 1, 1, 1)
    return (parts * images + (1 - parts) * other).clamp(0, FULL)


def turned(images: Tensor, amount: Tensor) -> Tensor:
    """Return images whose hues are rotated by an amount (B,), where 1 is the full color circle."""
    largest, smallest = images.amax(dim=1), images.amin(dim=1)
    spread = largest - smallest
    red, green, blue = images.unbind(dim=1)
    safe = torch.where(spread == 0, torch.ones_like(spread), spread)
    rest = torch.where(largest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    hue = torch.where(largest == red, (green - blue) / safe, rest) + 6 * amount.view(-1, 1, 1)
    # Each color is the maximum less the spread times its distance from the hue on the circle.
    distances = [(hue + offset) % 6 for offset in (5, 3, 1)]
    return torch.stack([largest - spread * torch.minimum(d, 4 - d).clamp(0, 1) for d in distances], dim=1)


def mirrored(images: Tensor, generator: torch.Generator, *, probability: float = 0.5) -> Tensor:
    """Return images, each mirrored left to right with the given probability."""
    chosen = chance(len(images), probability, generator).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(3), images)


def normalized(raw: Tensor) -> Tensor:
    """Return bytes as float32 integers −128…127 by ``clamp(round(p·256/255 − 128))``, half to even."""
    return ((raw.to(torch.float32) / FULL - 0.5) * 256).round().clamp(-128, 127)
