"""Keywords and unknown words from Google Speech Commands v0.02: KWS, KWS_20, KWS_35 and the official benchmark.

Downloads 2.4 GB at first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.speech import (
    CLASS_WEIGHTS_20,
    COMMAND_WORDS,
    SAMPLE_RATE,
    SAMPLES,
    quantize_audio,
    shift_and_noise,
    shift_limits,
    speech_split,
)
from ai8x_tool.data.speech_commands import Recording
from ai8x_tool.data.speech_store import SILENCE_LABEL, SpeechStore, chosen, signals
from ai8x_tool.data.stock_inputs import LABELS_20

if TYPE_CHECKING:
    from ai8x_tool.console import Console

# Change with everything that changes the stored samples.
VERSION = 2
SPEEDS = (1.0, 0.9, 1.1)
LABELS_6 = ("up", "down", "left", "right", "stop", "go", "unknown")
LABELS_12 = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", SILENCE_LABEL, "unknown")
LABELS_35 = (*COMMAND_WORDS, "unknown")


def load(data_dir: Path, console: Console, *, labels: tuple[str, ...] = LABELS_20, benchmark: bool = False) -> Dataset:
    """Return a set from the cache in `data_dir`/KWS/processed; without one, build it from the recordings.

    `benchmark` is for the official test set, which has silence, and whose unknown words are those of Speech Commands
    only. Raises Ai8xError where the recordings can be neither found nor downloaded.
    """
    folder = Path(data_dir) / "KWS"
    arrays = STORE.arrays(folder, console)

    def split(name: str) -> Split:
        samples, targets, limits = chosen(arrays, name, labels, folder, benchmark=benchmark)
        return speech_split(samples, targets, limits if name == "train" else None)

    return Dataset(split("train"), split("validation"), split("test"))


def variants(batch: list[Recording], split: str, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield recordings at all speeds, in the test at one; those for validation with their shift and noise."""
    for speed in SPEEDS[:1] if split == "test" else SPEEDS:
        raw, limits = quantized(batch, speed)
        yield shift_and_noise(raw, limits, generator) if split == "validation" else raw, limits


def quantized(batch: list[Recording], speed: float) -> tuple[Tensor, Tensor]:
    """Return the recordings at `speed` as (B, 16384) unsigned 8 bit, and their shift limits (B, 2) int16.

    Other speeds come from re-sampling, which changes the pitch too; recordings are padded or cut at their end.
    """
    sound = signals(batch)
    if speed != 1:
        import torchaudio  # noqa: PLC0415  (slow to load)

        sound = torchaudio.functional.resample(sound, round(SAMPLE_RATE * speed), SAMPLE_RATE)
    fitted = torch.nn.functional.pad(sound, (0, max(SAMPLES - sound.shape[1], 0)))[:, :SAMPLES]
    limits = [shift_limits(len(item.samples), speed) for item in batch]
    return quantize_audio(fitted), torch.tensor(limits, dtype=torch.int16)


STORE = SpeechStore("speech-commands", {"version": VERSION, "speeds": SPEEDS}, np.uint8, variants)
SOURCE = "128×128, Google Speech Commands v0.02"

datasets = [
    DatasetEntry(
        name="KWS_20",
        input=(128, 128),
        labels=LABELS_20,
        load=load,
        class_weights=CLASS_WEIGHTS_20,
        description=f"20 spoken keywords and unknown words, {SOURCE}",
    ),
    DatasetEntry(
        name="KWS",
        input=(128, 128),
        labels=LABELS_6,
        load=partial(load, labels=LABELS_6),
        class_weights=(1.0,) * 6 + (0.06,),
        description=f"6 spoken keywords and unknown words, {SOURCE}",
    ),
    DatasetEntry(
        name="KWS_35",
        input=(128, 128),
        labels=LABELS_35,
        load=partial(load, labels=LABELS_35),
        class_weights=(1.0,) * 35 + (0.07,),
        description=f"35 spoken keywords and unknown words, {SOURCE}",
    ),
    DatasetEntry(
        name="KWS_12_benchmark",
        input=(128, 128),
        labels=LABELS_12,
        load=partial(load, labels=LABELS_12, benchmark=True),
        class_weights=(1.0,) * 11 + (0.056,),
        description=f"10 spoken keywords, silence and unknown words, {SOURCE}",
    ),
]
