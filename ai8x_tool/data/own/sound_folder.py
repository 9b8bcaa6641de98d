"""Sounds in folders, one folder for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Augment
from ai8x_tool.data.own.files import FolderContent
from ai8x_tool.data.own.prepare import Array, Prepared, build_from_files, prepared
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.data.own.sounds import read_sound, window_of
from ai8x_tool.data.seeding import normal_numbers
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_MIDDLE = 128.0
_WINDOW = 16384
_AUDIBLE = 0.04
_SPEED = 0.25
"""Largest change of speed and pitch, as a logarithm, corresponding to differences between voices."""
_STRENGTH = {"light": 1.0, "strong": 2.0}
_MOST_NOISE = 60
"""Number of seconds used of each background file."""


class SoundFolder:
    """Sounds as (samples,) unsigned 8 bit; 128 is silence."""

    def __init__(self, content: FolderContent, own: OwnDataSettings) -> None:
        self._content, self._own = content, own
        self._window = own.window or _WINDOW
        if self._window % own.fold:
            raise Ai8xError(f"window {self._window} must be a multiple of fold {own.fold}", where=str(content.root))
        self.input: tuple[int, ...] = (own.fold, self._window // own.fold)

    def suggestions(self) -> dict[str, Any]:
        """Return the window, and the folder of background noise."""
        return {"window": self._window, "background": self._content.background}

    def facts(self) -> list[str]:
        """Return lines about rate and noise."""
        own, noise = self._own, self._content.background
        seconds = f"inputs: {self._window / own.rate:.2f} s at {own.rate} samples per second"
        return [seconds] + ([] if noise is None else [f"background noise from {noise}"])

    def model(self, own: OwnDataSettings) -> str:
        """Return the name of the shipped model for sounds."""
        return "compact1d"

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared sounds."""
        rate = self._own.rate

        def decode(data: bytes) -> Array:
            return window_of(read_sound(data, rate), self._window).numpy()

        def build(folder: Path) -> None:
            console.info(f"reading {len(self._content.files)} sounds of {self._content.root} (once)")
            build_from_files(folder, self._content, self._own, decode, (self._window,), np.uint8, console)

        return prepared(self._content, self._own, parent, {"rate": rate, "window": self._window}, build)

    def preprocessing(self, training: Tensor) -> Preprocessing:
        """Return the preprocessing, which maps a range of values to −128 … 127."""
        reading = {"rate": self._own.rate, "window": self._window}
        per_sample = self._own.normalize == "sample"
        return Preprocessing("sound", self.input, (_MIDDLE,), (1.0,), per_sample, reading)

    def augmentation(self, training: Tensor, targets: Tensor, console: Console) -> Augment | None:
        """Return the augmentation of training sounds."""
        own = self._own
        if own.augment == "none":
            return None
        noise = [] if self._content.background is None else _noises(self._content.background, own.rate, self._window)
        return SoundVariation(_STRENGTH[own.augment], _room(training), torch.cat(noise) if noise else None)


def _room(training: Tensor) -> Tensor:
    """Return the numbers of samples by which each sound (N, L) can be moved to the left and right, (N, 2)."""
    limits = []
    for row in training:
        level = (row.to(torch.int16) - int(_MIDDLE)).abs()
        audible = (level > _AUDIBLE * int(level.max())).nonzero()[:, 0]
        first, last = (int(audible[0]), int(audible[-1])) if len(audible) else (0, 0)
        limits.append((first, len(row) - 1 - last))
    return torch.tensor(limits)


def _noises(folder: Path, rate: int, window: int) -> list[Tensor]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".wav", ".flac"):
            try:
                found.append(read_sound(path.read_bytes(), rate)[: _MOST_NOISE * rate])
            except ValueError:
                continue
    return [each for each in found if len(each) >= window]


@dataclass(frozen=True)
class SoundVariation:
    """Augmentation: moves sounds, changes their speed and level, and adds noise.

    `room` (N, 2) is the number of samples by which each sound can move, `noise` a long recording.
    """

    strength: float
    room: Tensor
    noise: Tensor | None

    def __call__(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return sounds (B, L) unsigned 8 bit, randomly changed."""
        (count, length), device = raw.shape, raw.device

        def share() -> Tensor:
            return torch.rand(count, 1, generator=generator).to(device)

        sound = self._moved(raw, indices, generator)
        sound *= 10 ** (-0.3 * self.strength * share())
        power = sound.square().mean(dim=1, keepdim=True).clamp(min=1e-3)
        ratio = 10 ** (-(35 - 25 * self.strength / 2 * share()) / 10)
        sound += normal_numbers((count, length), generator, device) * (power * ratio).sqrt()
        if self.noise is not None:
            places = torch.randint(len(self.noise) - length + 1, (count,), generator=generator).tolist()
            mixed = torch.stack([self.noise[place : place + length] for place in places]).to(device)
            level = mixed.square().mean(dim=1, keepdim=True).clamp(min=1e-9)
            loudness = share() * 0.5 * (share() < 0.7)
            sound += mixed * (loudness.square() * power / level).sqrt()
        return (sound + _MIDDLE).round_().clamp_(0, 255).to(torch.uint8)

    def _moved(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return sounds (B, L) around 0, played faster or slower, each at a random position without being cut off."""
        count, length = raw.shape
        left, right = self.room[indices].T[:, :, None].float()
        speed = torch.exp(_SPEED * self.strength * (2 * torch.rand(count, 1, generator=generator) - 1))
        free = length - (length - left - right) / speed
        start = torch.where(free > 0, torch.rand(count, 1, generator=generator), 0.5) * free
        places = left + (torch.arange(length) - start) * speed
        before = places.floor()
        share, first = (places - before).to(raw.device), (before.long() % length).to(raw.device)
        sound = raw.float() - _MIDDLE
        return sound.gather(1, first).lerp_(sound.gather(1, (first + 1) % length), share)


def sound_of_file(path: Path, reading: Mapping[str, Any]) -> Tensor:
    """Return the sound of a file as (1, samples) unsigned 8 bit."""
    return window_of(read_sound(path.read_bytes(), reading["rate"]), reading["window"])[None]
