"""KWS_35_unquantized: all words of Google Speech Commands v0.02 as real numbers, without variants in speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.speech import COMMAND_WORDS, SAMPLES, SIDE, class_numbers, shift, shift_limits
from ai8x_tool.data.speech_commands import (
    BENCHMARK,
    LIBRISPEECH,
    SILENCE,
    RecordingFolders,
    can_read_flac,
    find_commands,
    find_optional,
    list_words,
    recordings,
)

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
LABELS = (*COMMAND_WORDS, "unknown")
LOWEST, RANGE = -5, 25
"""Signal-to-noise ratios of the added noise, in dB."""


def load(data_dir: Path, console: Console) -> Dataset:
    """Return the set from `data_dir`/KWS. Raises Ai8xError where the recordings are neither found nor downloaded."""
    folder = Path(data_dir) / "KWS"
    librispeech = folder / LIBRISPEECH
    known = librispeech if librispeech.is_dir() and can_read_flac() else None

    def build(target: Path) -> None:
        raw = find_commands(folder, console)
        sources = RecordingFolders(raw, find_optional(folder, "raw_test", BENCHMARK, console), known)
        for name, words in list_words(sources).items():
            _write(target, name, words, sources)

    key = {"version": VERSION, "librispeech": known is not None}
    arrays = cached_arrays(folder / "processed", "unquantized", key, build)

    def split(name: str) -> Split:
        speech = Speech(arrays[f"{name}-limits"])
        targets = arrays[f"{name}-targets"].long()
        return Split(arrays[f"{name}-samples"], targets, prepare, speech.augment if name == "train" else None)

    return Dataset(split("train"), split("validation"), split("test"))


def _write(target: Path, name: str, words: list[tuple[str, int, Path]], sources: RecordingFolders) -> None:
    with (
        ArrayWriter(target / f"{name}-samples.npy", (SAMPLES,), np.float32) as samples,
        ArrayWriter(target / f"{name}-targets.npy", (), np.int64) as targets,
        ArrayWriter(target / f"{name}-limits.npy", (2,), np.int16) as limits,
    ):
        for recording in recordings(name, words, sources):
            if recording.word == SILENCE:
                continue
            sound = np.zeros((1, SAMPLES), np.float32)
            sound[0, : len(recording.samples)] = recording.samples[:SAMPLES]
            samples.append(sound)
            targets.append(class_numbers([recording.word], LABELS))
            limits.append(np.array([shift_limits(len(recording.samples))], np.int16))


def prepare(raw: Tensor) -> Tensor:
    """Return inputs (B, 128, 128), −128 … 127, not rounded; 128 consecutive samples are one column."""
    return (raw.float().view(-1, SIDE, SIDE).transpose(1, 2) * 128).clamp(-128, 127).contiguous()


@dataclass(frozen=True)
class Speech:
    """Shifts recordings within their `limits` (N, 2), and adds white noise."""

    limits: Tensor

    def augment(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return recordings (B, 16384) with a random shift, and noise at a random ratio."""
        moved = shift(raw, self.limits[indices], generator)
        ratio = (torch.rand(len(raw), 1, generator=generator) * RANGE + LOWEST).trunc()
        deviation = moved.var(dim=1, keepdim=True).sqrt() / 10 ** (ratio / 20)
        return (moved + deviation * torch.randn(moved.shape, generator=generator)).clamp(-1, 1)


datasets = [
    DatasetEntry(
        name="KWS_35_unquantized",
        input=(SIDE, SIDE),
        labels=LABELS,
        load=load,
        class_weights=(1.0,) * len(COMMAND_WORDS) + (0.07,),
        description="35 spoken keywords and unknown words, not quantized, 128×128, Google Speech Commands v0.02",
    )
]
