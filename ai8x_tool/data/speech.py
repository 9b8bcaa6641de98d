"""Speech inputs of keyword-spotting networks: quantization, folding and augmentation of batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.dataset import Split
from ai8x_tool.data.stock_inputs import KEYWORDS_20

SAMPLE_RATE = 16000
SAMPLES = 16384
SIDE = 128

# fmt: off
COMMAND_WORDS = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go",
    "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila",
    "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)
# fmt: on
CLASS_WEIGHTS_20 = (1.0,) * len(KEYWORDS_20) + (0.07,)

_CACHED_ROWS = 4
_LEVELS = 2**16
_SUPPLY = 48
# Recordings are assumed to be silent in their first and last tenth of a second.
_SILENT_EDGE = SAMPLE_RATE // 10


def class_numbers(words: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of every word in `labels`; unlisted words belong to the last label."""
    known = {label: number for number, label in enumerate(labels)}
    return np.array([known.get(word, len(labels) - 1) for word in words], dtype=np.int64)


def quantize_audio(signal: Tensor) -> Tensor:
    """Return −1…1 as unsigned 8 bit: ``clip(round((x + 1)·128), 0, 255)``, rounding half to even."""
    return ((signal + 1) * 128).round().clamp(0, 255).to(torch.uint8)


def fold_audio(raw: Tensor) -> Tensor:
    """Return (B, 16384) unsigned 8 bit as (B, 128, 128) float32 −128…127: ``X[c, t] = x[128·t + c] − 128``."""
    return raw.reshape(-1, SIDE, SIDE).to(torch.float32, copy=True).sub_(128).transpose(1, 2)


def shift_limits(length: int, speed: float = 1.0) -> tuple[int, int]:
    """Return the range [low, high) of circular shifts, in samples, that keep the voice inside the recording.

    `length` is the length of the recording in samples before its change by the factor `speed`. The voice is assumed to
    begin after the first and to end before the last 0.1 s, scaled by `speed`.
    """
    low = -_SILENT_EDGE * speed
    high = SAMPLES - (length - _SILENT_EDGE) * speed
    # 1.1 is not a binary fraction: 543.9999999 means 544. The limits are stored with 16 bits.
    return int(round(low, 6)), max(int(round(high, 6)), -32768)


def shift(raw: Tensor, limits: Tensor, generator: torch.Generator) -> Tensor:
    """Return each row of `raw` (B, L) rotated to the right by a random integer within its row of `limits` (B, 2)."""
    low, high = limits[:, 0].long(), limits[:, 1].long()
    # A recording longer than the input has an empty range and is not shifted.
    room = (high - low).clamp(min=0)
    steps = low + (torch.rand(len(raw), generator=generator) * room).long()
    steps = torch.where(room > 0, steps, 0)
    return torch.stack([row.roll(step) for row, step in zip(raw, steps.tolist(), strict=True)])


@cache
def _normal_levels() -> NDArray[np.float32]:
    """Return the normal quantiles at the centers of 65,536 equal shares; the largest is 4.3 standard deviations."""
    shares = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    return torch.special.ndtri(shares).float().numpy()


def add_white_noise(raw: Tensor, generator: torch.Generator) -> Tensor:
    """Return `raw` (B, L) unsigned 8 bit with white noise at a random integer SNR of trunc(U(−5, 20)) dB per row.

    Rows take their noise from random positions of one supply for the whole batch, because drawing all of it would take
    a considerable part of the CPU time of a training step.
    """
    snr = (torch.rand(len(raw), 1, generator=generator) * 25 - 5).trunc().numpy()
    draws = np.random.Generator(np.random.SFC64(int(torch.randint(2**62, (), generator=generator))))
    source, length = raw.numpy(), raw.shape[1]
    numbers = draws.integers(0, _LEVELS, min(len(raw), _SUPPLY) * length, np.uint16)
    supply = np.lib.stride_tricks.sliding_window_view(np.take(_normal_levels(), numbers, mode="clip"), length)
    places = draws.integers(0, len(supply), len(raw))
    result = np.empty_like(source)
    # A few rows at a time fit the processor's cache.
    for start in range(0, len(source), _CACHED_ROWS):
        rows = slice(start, start + _CACHED_ROWS)
        noise, clean = supply[places[rows]], source[rows]
        noise *= _deviation(clean) / 10 ** (snr[rows] / 20)
        # Integers: the conversion truncates.
        np.clip(noise.astype(np.int16) + clean, 0, 255, out=result[rows], casting="unsafe")
    return torch.from_numpy(result)


def _deviation(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the standard deviation of each row, (B, 1)."""
    values = rows.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    return np.sqrt(np.einsum("ij,ij->i", values, values)[:, None] / values.shape[1])


def shift_and_noise(raw: Tensor, limits: Tensor, generator: torch.Generator) -> Tensor:
    """Return `raw` (B, 16384) with the random shift and noise of training samples."""
    return add_white_noise(shift(raw, limits, generator), generator)


def training_augmentation(limits: Tensor) -> Callable[[Tensor, Tensor, torch.Generator], Tensor]:
    """Return the augmentation of a split whose samples have the shift `limits` (N, 2)."""

    def augment(raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        return shift_and_noise(raw, limits[indices], generator)

    return augment


def speech_split(raw: Tensor, targets: Tensor, limits: Tensor | None = None) -> Split:
    """Return a split of folded speech: `raw` (N, 16384) uint8, `targets` (N); augmented with `limits` (N, 2)."""
    augment = None if limits is None else training_augmentation(limits)  # on the CPU
    return Split(raw, targets, fold_audio, augment, on_any_device=augment is None)
