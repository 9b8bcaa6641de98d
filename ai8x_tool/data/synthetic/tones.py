"""Synthetic sounds and spectra: tones whose frequency is the class; spectra whose peaks are displaced in anomalies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ai8x_tool.data.synthetic.shapes import noise

_NOISE = 0.05
_LONGEST, _SHORTEST = 128, 4
"""Samples per period of the lowest and of the highest tone."""
_HARMONICS = 5
_SPEEDS = (10.0, 14.0, 19.0)
"""Bins between the peaks of a normal spectrum."""


@dataclass(frozen=True)
class Tones:
    """Generates tones from rows: class, phase, loudness, seed; sample n is in row n mod C of column n div C."""

    shape: tuple[int, int]
    labels: int

    def samples(self, targets: Tensor, random: torch.Generator) -> Tensor:
        """Return one row (4,) for each class number."""
        phase, loudness, seed = torch.rand(3, len(targets), generator=random)
        return torch.stack([targets.float(), phase, 0.3 + 0.6 * loudness, seed], dim=1)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return inputs (B, C, L)."""
        number, phase, loudness, seed = (column[:, None] for column in samples.unbind(dim=1))
        rows, columns = self.shape
        count = rows * columns
        longest = min(_LONGEST, count)
        share = number / max(1, self.labels - 1)
        frequency = (_SHORTEST / longest) ** -share / longest
        wave = loudness * (2 * math.pi * (frequency * torch.arange(count) + phase)).sin()
        wave = wave + _NOISE * noise(seed[:, 0], (count,))
        return (128 * wave).round().clamp(-128, 127).view(-1, columns, rows).transpose(1, 2).contiguous()


@dataclass(frozen=True)
class Spectra:
    """Generates spectra (B, bins, axes) from rows: 1 for anomalies, else 0; speed, its error, seed."""

    shape: tuple[int, int]

    def samples(self, anomalies: Tensor, random: torch.Generator) -> Tensor:
        """Return one row (4,) for each flag."""
        count = len(anomalies)
        speed = torch.randint(len(_SPEEDS), (count,), generator=random)
        error, seed = torch.rand(2, count, generator=random)
        return torch.stack([anomalies.float(), speed.float(), error, seed], dim=1)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return inputs."""
        faulty, speed, error, seed = (column[:, None, None] for column in samples.unbind(dim=1))
        bins, axes = self.shape
        step = torch.tensor(_SPEEDS)[speed.long()] * bins / 256
        step = step * (1 + 0.02 * error + faulty * (0.2 + 0.1 * error))
        position, axis = torch.arange(bins)[:, None], torch.arange(axes)
        height = torch.zeros(len(samples), bins, axes)
        for harmonic in range(1, _HARMONICS + 1):
            peak = (1 - 0.15 * ((harmonic + axis) % _HARMONICS)) / harmonic**0.5
            height = torch.maximum(height, peak * (-((position - harmonic * step) / 2).square()).exp())
        grain = 0.03 * noise(seed[:, 0, 0], (bins, axes)).abs()
        return ((height + grain) * 255 - 128).round().clamp(-128, 127)
