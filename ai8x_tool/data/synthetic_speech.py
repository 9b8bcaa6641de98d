"""Words synthesized by eSpeak NG as if recorded by a microphone: position, level and background noise vary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter
from ai8x_tool.data.espeak import Utterance, synthesize
from ai8x_tool.data.speech import SAMPLE_RATE, SAMPLES, quantize_audio, shift_and_noise, shift_limits

if TYPE_CHECKING:
    from ai8x_tool.console import Progress

# Recordings of one second, as in Speech Commands; the rest of the network's input is padding.
RECORDING = SAMPLE_RATE
_BATCH = 256
# Largest distance of words from the exact center, in samples.
_OFF_CENTER = 800
# Resampling by these (source, target) ratios instead of the exact one changes the speed, and thereby the apparent
# size of the speaker, by up to a tenth; all are ratios of small numbers and thus cheap.
_SPEEDS = ((5, 4), (4, 3), (11, 8), (10, 7), (3, 2))


@dataclass(frozen=True)
class SpeechPlan:
    """Content of one split of a synthetic dataset: every voice speaks every word `repeats` times, with variations.

    `varied_size` also varies the apparent size of the speaker; `distorted` stores samples with the fixed shift and
    noise of a validation split.
    """

    voices: tuple[str, ...]
    accents: tuple[str, ...]
    words: tuple[str, ...]
    repeats: int
    seed: int
    varied_size: bool = False
    distorted: bool = False

    def __len__(self) -> int:
        return len(self.voices) * len(self.words) * self.repeats

    def utterances(self) -> list[Utterance]:
        """Return the utterances in order; accent, rate, pitch and melody of each clip are random."""
        random = np.random.default_rng(self.seed)
        said = [(voice, word) for voice in self.voices for word in self.words for _ in range(self.repeats)]
        accents = random.integers(0, len(self.accents), len(said))
        rates = random.integers(140, 211, len(said))
        pitches = random.integers(20, 81, len(said))
        ranges = random.integers(20, 81, len(said))
        return [
            Utterance(word, f"{self.accents[accent]}+{voice}", rate, pitch, melody)
            for (voice, word), accent, rate, pitch, melody in zip(
                said, accents.tolist(), rates.tolist(), pitches.tolist(), ranges.tolist(), strict=True
            )
        ]


def write_speech(folder: Path, name: str, plan: SpeechPlan, progress: Progress) -> None:
    """Write the samples ``<name>-samples.npy`` (N, 16384) uint8 and words ``<name>-words.npy`` (N) of `plan`.

    Words are stored as positions in `plan.words`.
    """
    utterances = plan.utterances()
    positions = {word: position for position, word in enumerate(plan.words)}
    words = np.array([positions[utterance.text] for utterance in utterances], dtype=np.int64)
    np.save(folder / f"{name}-words.npy", words)
    generator = torch.Generator().manual_seed(plan.seed)
    with ArrayWriter(folder / f"{name}-samples.npy", (SAMPLES,), np.uint8) as writer:
        for clips in _batches(synthesize(utterances)):
            writer.append(_record(clips, plan, generator).numpy())
            progress.advance(len(clips))


def _batches(clips: Iterator[tuple[int, NDArray[np.int16]]]) -> Iterator[list[tuple[int, NDArray[np.int16]]]]:
    while batch := list(islice(clips, _BATCH)):
        yield batch


def _record(clips: Sequence[tuple[int, NDArray[np.int16]]], plan: SpeechPlan, generator: torch.Generator) -> Tensor:
    """Return the quantized recordings (B, 16384) of `clips`, pairs of sample rate and samples."""
    count = len(clips)
    longest = max(len(samples) for _, samples in clips)
    sound = torch.zeros(count, longest)
    for row, (_, samples) in zip(sound, clips, strict=True):
        row[: len(samples)] = torch.from_numpy(samples)
    sound = _resample(sound, clips[0][0], plan.varied_size, generator)
    placed = _place(sound, generator)
    level = 10 ** (-0.25 * torch.rand(count, 1, generator=generator))  # peaks between −5 and 0 dB of full scale
    floor = 10 ** (-2 - torch.rand(count, 1, generator=generator))  # noise between −60 and −40 dB
    placed[:, :RECORDING] *= level
    placed[:, :RECORDING] += floor * torch.randn(count, RECORDING, generator=generator)
    raw = quantize_audio(placed)
    if plan.distorted:
        raw = shift_and_noise(raw, torch.tensor([shift_limits(RECORDING)]).expand(count, 2), generator)
    return raw


def _resample(sound: Tensor, rate: int, varied: bool, generator: torch.Generator) -> Tensor:
    """Return `sound` (B, L) with about 16,000 samples per second."""
    import torchaudio  # noqa: PLC0415  (slow to load)

    if not varied:
        resampled: Tensor = torchaudio.functional.resample(sound, rate, SAMPLE_RATE)
        return resampled
    choice = torch.randint(len(_SPEEDS), (len(sound),), generator=generator)
    exact = rate / SAMPLE_RATE
    result = torch.zeros(len(sound), int(sound.shape[1] / exact * 1.2) + 1)
    for number, (source, target) in enumerate(_SPEEDS):
        rows = (choice == number).nonzero()[:, 0]
        if len(rows):
            part = torchaudio.functional.resample(sound[rows], source, target)
            result[rows, : part.shape[1]] = part
    return result


def _place(sound: Tensor, generator: torch.Generator) -> Tensor:
    """Return each row of `sound` (B, L), cropped to its voiced part, scaled to peak 1, near the center of (B, 16384).

    The voice is at least a tenth of a second away from both ends of the recording if its length permits.
    """
    magnitude = sound.abs()
    peak = magnitude.amax(dim=1, keepdim=True)
    voiced = (magnitude > 0.02 * peak).to(torch.uint8)
    first = voiced.argmax(dim=1)
    length = sound.shape[1] - voiced.flip(1).argmax(dim=1) - first
    middle = (RECORDING - length).clamp(min=0) / 2
    room = (middle - SAMPLE_RATE // 10).clamp(min=0, max=_OFF_CENTER)
    start = (middle + room * (2 * torch.rand(len(sound), generator=generator) - 1)).long()
    time = torch.arange(SAMPLES).unsqueeze(0) - start.unsqueeze(1)
    inside = (time >= 0) & (time < length.unsqueeze(1)) & (torch.arange(SAMPLES) < RECORDING)
    source = (time + first.unsqueeze(1)).clamp(0, sound.shape[1] - 1)
    return sound.gather(1, source) / peak.clamp(min=1) * inside
