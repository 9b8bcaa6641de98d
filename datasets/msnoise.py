"""Noise of the Microsoft Scalable Noisy Speech dataset, alone and mixed into KWS_20. Must be put in place manually."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.speech import CLASS_WEIGHTS_20, SAMPLES, SIDE, fold_audio, quantize_audio
from ai8x_tool.data.speech_commands import read_wav
from ai8x_tool.data.stock_inputs import LABELS_20
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset

if TYPE_CHECKING:
    from ai8x_tool.console import Console

Prepare = Callable[[Tensor], Tensor]

VERSION = 1
TYPES = (
    *("AirConditioner", "AirportAnnouncements", "Babble", "Bus", "CafeTeria", "Car", "CopyMachine", "Field"),
    *("Hallway", "Kitchen", "LivingRoom", "Metro", "Munching", "NeighborSpeaking", "Office", "Park", "Restaurant"),
    *("ShuttingDoor", "Square", "SqueakyChair", "Station", "TradeShow", "Traffic", "Typing", "VacuumCleaner"),
    *("WasherDryer", "Washing"),
)
LENGTHS = {"train": 346338, "test": 11005}
"""Samples of the splits: each is a piece of some recording."""
MIXED_SHARE = 0.8
RATIOS = (-5, 10)
"""Signal-to-noise ratios in training, in dB; the upper end is not included."""
TEST_RATIO = 10.0
_FIX = "put the folders noise_train and noise_test of the Microsoft Scalable Noisy Speech dataset into MSnoise/raw"


@dataclass(frozen=True)
class Noise:
    """All recordings of a split in a row, and (first sample, length, type) of each."""

    sound: Tensor
    places: Tensor

    def pieces(self, types: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return random pieces (B, 16384), −1 … 1, of recordings of some types (B,), and the loudness of the whole.

        The loudness (B, 1) is the root of the mean square of the recording.
        """
        pieces, loud = [], []
        for number in types.tolist():
            known = self.places[self.places[:, 2] == number]
            first, length, _ = known[int(torch.randint(len(known), (), generator=generator))].tolist()
            start = int(torch.randint(max(length - SAMPLES, 0) + 1, (), generator=generator))
            whole = self.sound[first : first + length].float() / 32768
            piece = whole[start : start + SAMPLES]
            pieces.append(torch.nn.functional.pad(piece, (0, SAMPLES - len(piece))))
            loud.append(whole.square().mean().sqrt())
        return torch.stack(pieces), torch.stack(loud)[:, None]

    def types(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random types (count,) of those that there are."""
        known = self.places[:, 2].unique()
        return known[torch.randint(len(known), (count,), generator=generator)]


def recordings(data_dir: Path, name: str, console: Console) -> Noise:
    """Return the recordings of a split. Raises Ai8xError if they are missing or damaged."""
    root = Path(data_dir) / "MSnoise"
    files = sorted((root / "raw" / f"noise_{name}").glob("*.wav"))
    if not files:
        raise Ai8xError("no recordings", where=str(root / "raw" / f"noise_{name}"), fix=_FIX)

    def build(folder: Path) -> None:
        with (
            ArrayWriter(folder / "sound.npy", (), np.int16) as sound,
            ArrayWriter(folder / "places.npy", (3,), np.int64) as places,
            console.progress(f"noise, {name}", len(files)) as progress,
        ):
            first = 0
            for file in files:
                samples = np.rint(read_wav(file) * 32768).astype(np.int16)
                sound.append(samples)
                places.append(np.array([[first, len(samples), noise_type(file)]]))
                first += len(samples)
                progress.advance()

    key = {"version": VERSION, "files": [(file.name, file.stat().st_size) for file in files]}
    arrays = cached_arrays(root / "prepared", name, key, build)
    return Noise(arrays["sound"], arrays["places"])


def noise_type(file: Path) -> int:
    """Return the number of the type by which a recording is named. Raises Ai8xError for others."""
    name = file.stem.rpartition("_")[0] or file.stem
    name = "NeighborSpeaking" if name.startswith("Neighbor") else name
    if name not in TYPES:
        raise Ai8xError("is not named after a type of noise and a number", where=str(file), fix=_FIX)
    return TYPES.index(name)


def load_noise(data_dir: Path, console: Console, *, quantized: bool) -> Dataset:
    """Return pieces of noise, to be classified by their types."""
    splits = []
    for name, length in LENGTHS.items():
        noise = recordings(data_dir, name, console)
        targets = noise.types(length, torch.Generator().manual_seed(length))
        pieces = Pieces(noise, quantized)
        splits.append(Split(torch.stack([torch.arange(length), targets], dim=1), targets, pieces, pieces.augment))
    return Dataset(splits[0], None, splits[1])


@dataclass(frozen=True)
class Pieces:
    """Turns rows (position, type) into pieces of noise of that type."""

    noise: Noise
    quantized: bool

    def __call__(self, raw: Tensor) -> Tensor:
        """Return inputs (B, 128, 128): the same piece for the same row, or the pieces that were drawn."""
        if raw.shape[1] == 2:
            parts = [self.noise.pieces(row[1:], torch.Generator().manual_seed(int(row[0])))[0] for row in raw]
            raw = torch.cat(parts)
        if self.quantized:
            return fold_audio(quantize_audio(raw))
        return (128 * raw.view(-1, SIDE, SIDE).transpose(1, 2)).clamp(-128, 127)

    def augment(self, raw: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return other pieces of the same types."""
        return self.noise.pieces(raw[:, 1], generator)[0]


def mixed(speech: Tensor, noise: Tensor, loudness: Tensor, ratio: Tensor) -> Tensor:
    """Return speech (B, 16384), unsigned 8 bit, with noise, −1 … 1, at a ratio (B, 1) in dB; silence stays as it is.

    `loudness` (B, 1) is that of the whole recordings of the noise.
    """
    signal = (speech.float() - 128) / 128
    loud = signal.square().mean(dim=1, keepdim=True).sqrt()
    factor, floor = 10 ** (ratio / 20), 1e-9
    together = (factor * signal / loud.clamp(min=floor) + noise / loudness.clamp(min=floor)) / (
        1 / loudness.clamp(min=floor) + factor / loud.clamp(min=floor)
    )
    return torch.where(loud > 0, quantize_audio(together), speech)


@dataclass(frozen=True)
class Mixture:
    """Mixes noise into most recordings."""

    noise: Noise

    def augment(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Return recordings (B, 16384), unsigned 8 bit."""
        pieces, loudness = self.noise.pieces(self.noise.types(len(raw), generator), generator)
        ratio = torch.randint(*RATIOS, (len(raw), 1), generator=generator).float()
        chosen = torch.rand(len(raw), 1, generator=generator) < MIXED_SHARE
        return torch.where(chosen, mixed(raw, pieces, loudness, ratio), raw)


@dataclass(frozen=True)
class Speech:
    """The recordings of KWS_20 that are not for the test, in a row; rows (position,) stand for them.

    The last of them are those for validation, which were stored with a shift and with white noise.
    """

    parts: tuple[Split, ...]

    def split(self, prepare: Prepare = fold_audio, mixture: Mixture | None = None) -> Split:
        """Return them as one split; without augmentation, validation samples are taken from it as they are."""
        targets = torch.cat([part.targets for part in self.parts])
        positions = torch.arange(len(targets))[:, None]
        augment = partial(self.augment, mixture=mixture)
        return Split(positions, targets, lambda raw: prepare(self.found(raw)), augment)

    def found(self, raw: Tensor) -> Tensor:
        """Return the recordings (B, 16384), unsigned 8 bit, for rows that stand for them; others as they are."""
        if raw.shape[1] != 1:
            return raw
        result = torch.empty(len(raw), SAMPLES, dtype=torch.uint8)
        first, positions = 0, raw[:, 0]
        for part in self.parts:
            chosen = (positions >= first) & (positions < first + len(part))
            result[chosen] = part.raw.index_select(0, positions[chosen] - first)
            first += len(part)
        return result

    def augment(self, raw: Tensor, _indices: Tensor, generator: torch.Generator, *, mixture: Mixture | None) -> Tensor:
        """Return recordings (B, 16384) shifted, with white noise and, by the mixture, with noise of some type."""
        result, positions, training = self.found(raw), raw[:, 0], self.parts[0]
        chosen = positions < len(training)
        if training.augment is not None and chosen.any():
            result[chosen] = training.augment(result[chosen], positions[chosen], generator)
        return result if mixture is None else mixture.augment(result, generator)


def load_mixed(data_dir: Path, console: Console, *, in_test: bool) -> Dataset:
    """Return KWS_20 with noise: in training, or everywhere at 10 dB.

    Unlike in KWS_20, a random share of all recordings but those of the test is for validation.
    """
    found = find_dataset("KWS_20").load(data_dir, console)
    speech = Speech((found.train, *(() if found.validation is None else (found.validation,))))
    train, test = (recordings(data_dir, name, console) for name in LENGTHS)
    if in_test:
        fixed = partial(_noisy_inputs, noise=test)
        return Dataset(speech.split(partial(_noisy_inputs, noise=train)), None, replace(found.test, prepare=fixed))
    return Dataset(speech.split(mixture=Mixture(train)), None, found.test)


def _noisy_inputs(raw: Tensor, noise: Noise) -> Tensor:
    """Return inputs with noise at 10 dB, which depends on nothing but the recording."""
    parts = []
    for row in raw:
        random = torch.Generator().manual_seed(int(row.long().sum()))
        parts.append((*noise.pieces(noise.types(1, random), random), row[None]))
    pieces, loudness, speech = (torch.cat(column) for column in zip(*parts, strict=True))
    return fold_audio(mixed(speech, pieces, loudness, torch.full((len(raw), 1), TEST_RATIO)))


def _noise_entry(name: str, quantized: bool) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        input=(SIDE, SIDE),
        labels=TYPES,
        load=partial(load_noise, quantized=quantized),
        description="27 types of noise, 128×128",
    )


def _mixed_entry(name: str, in_test: bool, description: str) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        input=(SIDE, SIDE),
        labels=LABELS_20,
        load=partial(load_mixed, in_test=in_test),
        class_weights=CLASS_WEIGHTS_20,
        description=description,
    )


datasets = [
    _noise_entry("MSnoise", True),
    _noise_entry("MSnoise_unquantized", False),
    _mixed_entry("KWS_20_msnoise_mixed", False, "KWS_20 with noise in training"),
    _mixed_entry("MixedKWS20_10dB", True, "KWS_20 with noise at 10 dB, for evaluation"),
]
