"""Cache of Speech Commands recordings as arrays, from which datasets select words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays, open_arrays
from ai8x_tool.data.speech import SAMPLES, class_numbers
from ai8x_tool.data.speech_commands import (
    BENCHMARK,
    FOLDERS,
    SILENCE,
    Recording,
    RecordingFolders,
    find_commands,
    find_librispeech,
    find_optional,
    list_words,
    recordings,
)
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console, Progress

BENCHMARK_GROUP, SILENCE_GROUP = 1, 2
SILENCE_LABEL = "silence"
_BATCH = 256
_SEED = 20

Variants = Callable[[list[Recording], str, torch.Generator], Iterator[tuple[Tensor, Tensor]]]
"""Function that returns samples (B, 16384) and shift limits (B, 2) of recordings of a split, for each variant."""


@dataclass(frozen=True)
class SpeechStore:
    """The arrays `name` of the cache: samples of the type `dtype`, created by `variants`.

    `key` contains everything else on which they depend.
    """

    name: str
    key: Mapping[str, object]
    dtype: npt.DTypeLike
    variants: Variants

    def arrays(self, folder: Path, console: Console) -> dict[str, Tensor]:
        """Return the arrays in `folder`/processed, built if they do not exist, with LibriSpeech if it is available.

        Raises Ai8xError if the recordings can be neither found nor downloaded.
        """
        processed = folder / "processed"
        complete = open_arrays(processed, self.name, {**self.key, "librispeech": True})
        if complete is not None:
            return complete
        arrays = open_arrays(processed, self.name, {**self.key, "librispeech": False})
        librispeech = find_librispeech(folder, console, download=arrays is None)
        if arrays is not None and librispeech is None:
            return arrays

        def build(target: Path) -> None:
            raw = find_commands(folder, console)
            sources = RecordingFolders(raw, find_optional(folder, "raw_test", BENCHMARK, console), librispeech)
            self._write(target, sources, console)

        return cached_arrays(processed, self.name, {**self.key, "librispeech": librispeech is not None}, build)

    def _write(self, target: Path, sources: RecordingFolders, console: Console) -> None:
        splits = list_words(sources)
        total = sum(map(len, splits.values()))
        console.info(f"preparing {total} recordings of Speech Commands (once; takes several minutes)")
        with console.progress("Preparing", total) as progress:
            for name, words in splits.items():
                self._write_split(target, name, recordings(name, words, sources), progress)

    def _write_split(self, target: Path, name: str, items: Iterator[Recording], progress: Progress) -> None:
        """Write samples, words, groups and shift limits of one split."""
        generator = torch.Generator().manual_seed(_SEED)
        with (
            ArrayWriter(target / f"{name}-samples.npy", (SAMPLES,), self.dtype) as samples,
            ArrayWriter(target / f"{name}-words.npy", (), np.uint8) as words,
            ArrayWriter(target / f"{name}-groups.npy", (), np.uint8) as groups,
            ArrayWriter(target / f"{name}-limits.npy", (2,), np.int16) as limits,
        ):
            for batch in _batches(items):
                for values, ranges in self.variants(batch, name, generator):
                    samples.append(values.numpy())
                    words.append(np.array([FOLDERS.index(item.word) for item in batch], dtype=np.uint8))
                    groups.append(np.array([item.group for item in batch], dtype=np.uint8))
                    limits.append(ranges.numpy())
                progress.advance(len(batch))


def _batches(items: Iterator[Recording]) -> Iterator[list[Recording]]:
    """Yield batches of a single group, so that the variants of batches keep the order of groups."""
    for _, members in groupby(items, key=lambda item: item.group):
        while batch := list(islice(members, _BATCH)):
            yield batch


def signals(batch: Sequence[Recording]) -> Tensor:
    """Return recordings (B, L), −1 … 1, padded at the end to the longest one, at least to 16384 samples."""
    longest = max(SAMPLES, *(len(item.samples) for item in batch))
    sound = torch.zeros(len(batch), longest)
    for row, item in zip(sound, batch, strict=True):
        row[: len(item.samples)] = torch.from_numpy(item.samples)
    return sound


def chosen(
    arrays: Mapping[str, Tensor], name: str, labels: Sequence[str], where: Path, *, benchmark: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples, targets and shift limits of a split for `labels` without silence, or of the `benchmark` with it.

    Raises Ai8xError if the cache in the folder `where` does not contain the benchmark.
    """
    names = [SILENCE_LABEL if benchmark and folder == SILENCE else folder for folder in FOLDERS]
    numbers = torch.from_numpy(class_numbers(names, labels))
    # Silence is the last group, LibriSpeech the first in training; words of the benchmark are the second in the test.
    groups = arrays[f"{name}-groups"].contiguous()
    start, end = (int(torch.searchsorted(groups, group)) for group in (BENCHMARK_GROUP, SILENCE_GROUP))
    part = slice(start, len(groups)) if benchmark else slice(0, end)
    targets = numbers[arrays[f"{name}-words"][part].long()]
    if not len(targets):
        fix = f"delete the folder and put {BENCHMARK.name} into {where}"
        raise Ai8xError(
            "the dataset was prepared without the official test set", where=str(where / "processed"), fix=fix
        )
    return arrays[f"{name}-samples"][part], targets, arrays[f"{name}-limits"][part]
