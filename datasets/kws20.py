"""Keywords and unknown words from Google Speech Commands v0.02: KWS, KWS_20, KWS_35 and the official benchmark.

Downloads 2.4 GB at first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays, open_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.speech import (
    CLASS_WEIGHTS_20,
    COMMAND_WORDS,
    SAMPLE_RATE,
    SAMPLES,
    class_numbers,
    quantize_audio,
    shift_and_noise,
    shift_limits,
    speech_split,
)
from ai8x_tool.data.speech_commands import (
    BENCHMARK,
    FOLDERS,
    LIBRISPEECH,
    LIBRISPEECH_DEV,
    SILENCE,
    Recording,
    RecordingFolders,
    can_read_flac,
    find_commands,
    find_optional,
    list_words,
    recordings,
)
from ai8x_tool.data.stock_inputs import LABELS_20
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console, Progress

# Change with everything that changes the stored samples.
VERSION = 2
SPEEDS = (1.0, 0.9, 1.1)
BENCHMARK_GROUP, SILENCE_GROUP = 1, 2
SILENCE_LABEL = "silence"
LABELS_6 = ("up", "down", "left", "right", "stop", "go", "unknown")
LABELS_12 = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", SILENCE_LABEL, "unknown")
LABELS_35 = (*COMMAND_WORDS, "unknown")
_BATCH = 256
_SEED = 20


def load(data_dir: Path, console: Console, *, labels: tuple[str, ...] = LABELS_20, benchmark: bool = False) -> Dataset:
    """Return a set from the cache in `data_dir`/KWS/processed; without one, build it from the recordings.

    `benchmark` is for the official test set, which has silence, and whose unknown words are those of Speech Commands
    only. Raises Ai8xError where the recordings can be neither found nor downloaded.
    """
    folder = Path(data_dir) / "KWS"
    arrays = open_arrays(folder / "processed", "speech-commands", _key(librispeech=True))
    if arrays is None:
        arrays = _without_complete_cache(folder, console)
    names = [SILENCE_LABEL if benchmark and name == SILENCE else name for name in FOLDERS]
    numbers = torch.from_numpy(class_numbers(names, labels))

    def split(name: str) -> Split:
        # Silence is the last group, LibriSpeech the first in training; words of the benchmark are the second of a test.
        groups = arrays[f"{name}-groups"].contiguous()
        start, end = (int(torch.searchsorted(groups, group)) for group in (BENCHMARK_GROUP, SILENCE_GROUP))
        chosen = slice(start, len(groups)) if benchmark else slice(0, end)
        targets = numbers[arrays[f"{name}-words"][chosen].long()]
        if not len(targets):
            fix = f"delete the folder and put {BENCHMARK.name} into {folder}"
            raise Ai8xError("prepared without the official test set", where=str(folder / "processed"), fix=fix)
        limits = arrays[f"{name}-limits"][chosen] if name == "train" else None
        return speech_split(arrays[f"{name}-samples"][chosen], targets, limits)

    return Dataset(split("train"), split("validation"), split("test"))


def _key(librispeech: bool) -> dict[str, object]:
    return {"version": VERSION, "speeds": SPEEDS, "librispeech": librispeech}


def _without_complete_cache(folder: Path, console: Console) -> dict[str, Tensor]:
    """Return the arrays, with LibriSpeech if it can be had; else from a cache without it, or newly built."""
    processed = folder / "processed"
    arrays = open_arrays(processed, "speech-commands", _key(librispeech=False))
    librispeech = _find_librispeech(folder, console, download=arrays is None)
    if arrays is not None and librispeech is None:
        return arrays

    def build(target: Path) -> None:
        raw = find_commands(folder, console)
        sources = RecordingFolders(raw, find_optional(folder, "raw_test", BENCHMARK, console), librispeech)
        _write(target, sources, console)

    return cached_arrays(processed, "speech-commands", _key(librispeech is not None), build)


def _find_librispeech(folder: Path, console: Console, download: bool) -> Path | None:
    """Return the folder of LibriSpeech, whose sentences are further unknown words, or None with a warning."""
    pieces = folder / "raw" / LIBRISPEECH
    if pieces.is_dir():
        return pieces
    if not can_read_flac():
        console.warn("KWS_20 goes on without LibriSpeech as unknown words: reading FLAC needs 'pip install soundfile'")
        return None
    if download:
        return find_optional(folder, LIBRISPEECH, LIBRISPEECH_DEV, console)
    if not (folder / LIBRISPEECH).is_dir():
        console.warn(f"KWS_20 goes on without LibriSpeech as unknown words: there is no {folder / LIBRISPEECH}")
        return None
    return folder / LIBRISPEECH


def _write(target: Path, sources: RecordingFolders, console: Console) -> None:
    splits = list_words(sources)
    total = sum(map(len, splits.values()))
    console.info(f"preparing {total} recordings of Speech Commands (once, takes some minutes)")
    with console.progress("Preparing", total) as progress:
        for name, words in splits.items():
            _write_split(target, name, recordings(name, words, sources), progress)


def _write_split(target: Path, name: str, items: Iterator[Recording], progress: Progress) -> None:
    """Write samples, words, groups and shift limits of one split, with speed variants except in the test split."""
    speeds = SPEEDS[:1] if name == "test" else SPEEDS
    generator = torch.Generator().manual_seed(_SEED)
    with (
        ArrayWriter(target / f"{name}-samples.npy", (SAMPLES,), np.uint8) as samples,
        ArrayWriter(target / f"{name}-words.npy", (), np.uint8) as words,
        ArrayWriter(target / f"{name}-groups.npy", (), np.uint8) as groups,
        ArrayWriter(target / f"{name}-limits.npy", (2,), np.int16) as limits,
    ):
        for batch in _batches(items):
            for speed in speeds:
                raw, ranges = quantized(batch, speed)
                samples.append((shift_and_noise(raw, ranges, generator) if name == "validation" else raw).numpy())
                words.append(np.array([FOLDERS.index(item.word) for item in batch], dtype=np.uint8))
                groups.append(np.array([item.group for item in batch], dtype=np.uint8))
                limits.append(ranges.numpy())
            progress.advance(len(batch))


def _batches(items: Iterator[Recording]) -> Iterator[list[Recording]]:
    """Yield batches that do not mix groups, so that the variants of a batch keep the groups in order."""
    for _, members in groupby(items, key=lambda item: item.group):
        while batch := list(islice(members, _BATCH)):
            yield batch


def quantized(batch: list[Recording], speed: float) -> tuple[Tensor, Tensor]:
    """Return the recordings at `speed` as (B, 16384) unsigned 8 bit, and their shift limits (B, 2) int16.

    Other speeds come from re-sampling, which changes the pitch too; recordings are padded or cut at their end.
    """
    longest = max(SAMPLES, *(len(item.samples) for item in batch))
    sound = torch.zeros(len(batch), longest)
    for row, item in zip(sound, batch, strict=True):
        row[: len(item.samples)] = torch.from_numpy(item.samples)
    if speed != 1:
        sound = torchaudio.functional.resample(sound, round(SAMPLE_RATE * speed), SAMPLE_RATE)
    fitted = torch.nn.functional.pad(sound, (0, max(SAMPLES - sound.shape[1], 0)))[:, :SAMPLES]
    limits = [shift_limits(len(item.samples), speed) for item in batch]
    return quantize_audio(fitted), torch.tensor(limits, dtype=torch.int16)


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
