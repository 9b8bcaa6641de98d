"""Preparation of a folder, done once: all files are read; unreadable ones are recorded and left out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.own.files import SPLITS, DataFile, FolderContent, some
from ai8x_tool.data.own.splits import Unit, assign, content_hash
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import resolved_path
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

Array = NDArray[Any]
NOTES = "notes"
_FEW = 10
_NAMED = 20
"""Number of files that are reported in a line each."""
_AT_ONCE = 256
_LEFT_OUT, _COPIES = "left_out", "copies"


@dataclass(frozen=True)
class Prepared:
    """Arrays ``<split>-samples`` and ``<split>-targets`` of the splits that have samples, and observations."""

    arrays: Mapping[str, Tensor]
    counts: Mapping[str, Sequence[int]]
    left_out: Sequence[tuple[str, str]]
    copies: Sequence[tuple[str, str]]

    def messages(self, classes: Sequence[str], *, by_file: bool = False) -> Iterator[str]:
        """Yield a line about each potential mistake in the data; with `by_file`, about each of the first files."""
        if by_file:
            yield from (f"{name} is left out: {reason}" for name, reason in self.left_out[:_NAMED])
            more = len(self.left_out) - _NAMED
            yield from [f"{more} more files are left out"] if more > 0 else []
        elif self.left_out:
            shown = (f"{name} ({reason})" for name, reason in self.left_out)
            yield f"{_count(self.left_out, 'file')} left out: {some(shown)}"
        if self.copies:
            shown = (f"{name} is {original}" for name, original in self.copies)
            yield f"{_count(self.copies, 'exact copy', 'exact copies')} left out: {some(shown)}"
        totals = [sum(counts) for counts in zip(*self.counts.values(), strict=True)]
        few = [f"{name} ({n})" for name, n in zip(classes, totals, strict=False) if n < _FEW]
        if few and len(classes) > 1:
            yield f"classes with fewer than {_FEW} samples cannot be learned well: {some(few)}"
        for split, counts in self.counts.items():
            empty = [name for name, n in zip(classes, counts, strict=False) if not n]
            if empty and len(classes) > 1:
                yield f"no samples of {some(empty)} in the {split} split"


def _count(things: Sequence[object], one: str, more: str | None = None) -> str:
    return f"1 {one} is" if len(things) == 1 else f"{len(things)} {more or one + 's'} are"


def prepared(
    content: FolderContent,
    own: OwnDataSettings,
    parent: Path,
    parameters: Mapping[str, object],
    build: Callable[[Path], None],
) -> Prepared:
    """Return the arrays written by `build`, from the cache below `parent` unless a file or parameter has changed."""
    shared = {
        "group": own.group,
        "anomalies": own.task == "anomaly",
        "split": list(own.split),
        "classes": list(content.classes),
    }
    key = {**parameters, **shared, "files": content.digest(), "version": 1}
    folder = parent / f"{resolved_path(content.root).name}-prepared"
    arrays = cached_arrays(folder, content.kind, key, build)
    _remove_older(folder, content.kind, arrays)
    notes = json.loads(bytes(arrays[NOTES].numpy()).decode())
    return Prepared(arrays, notes["counts"], notes[_LEFT_OUT], notes[_COPIES])


def _remove_older(folder: Path, kind: str, arrays: Mapping[str, Tensor]) -> None:
    """Remove all but the newest caches; files in use remain until their process ends."""
    del arrays  # they remain mapped after the folder is renamed
    caches = sorted(folder.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in caches[4:]:
        shutil.rmtree(path, ignore_errors=True)


def build_from_files(
    folder: Path,
    content: FolderContent,
    own: OwnDataSettings,
    decode: Callable[[bytes], Array],
    row_shape: tuple[int, ...],
    dtype: DTypeLike,
    console: Console,
) -> None:
    """Write the arrays of files that each contain one sample of a class."""
    anomalies = own.task == "anomaly"
    numbers = {name: int(number > 0) if anomalies else number for number, name in enumerate(content.classes)}

    def read(file: DataFile) -> tuple[Array, Array]:
        target = 0 if file.label is None else numbers[file.label]
        return decode((content.root / file.name).read_bytes()), np.array(target, np.int64)

    def count(targets: Array) -> list[int]:
        return np.bincount(targets, minlength=2 if anomalies else len(numbers)).tolist()

    left_out = [(name, "not a file of the requested kind") for name in content.others]
    build_samples(folder, content, own, Reading(read, row_shape, dtype, count), left_out, console)


@dataclass(frozen=True)
class Reading:
    """Conversion of files to samples of `row_shape` and targets; `read` raises ValueError for unusable files.

    `count` returns the number of targets of each class in the targets (N, …) of a split.
    """

    read: Callable[[DataFile], tuple[Array, Array]]
    row_shape: tuple[int, ...]
    dtype: DTypeLike
    count: Callable[[Array], Sequence[int]]


def build_samples(
    folder: Path,
    content: FolderContent,
    own: OwnDataSettings,
    reading: Reading,
    left_out: list[tuple[str, str]],
    console: Console,
) -> None:
    """Write samples and targets of files, which are read in parallel but written in the order of their names.

    `left_out` are files that are not samples, with the reasons.
    """
    units = [Unit(f.name, content_hash((content.root / f.name).read_bytes()), f.split) for f in content.files]
    places, copies = assign(units, own)
    work = [(f, place) for f, place in zip(content.files, places, strict=True) if place is not None]
    targets: dict[str, list[Array]] = {split: [] for split in SPLITS}

    def read(file: DataFile) -> tuple[Array, Array] | str:
        try:
            return reading.read(file)
        except ValueError as error:
            return str(error)

    with ExitStack() as stack:
        progress = stack.enter_context(console.progress("Reading files", len(work)))
        pool = stack.enter_context(ThreadPoolExecutor(min(8, os.cpu_count() or 1)))
        shape, dtype = reading.row_shape, reading.dtype
        writers = {s: stack.enter_context(ArrayWriter(folder / f"{s}-samples.npy", shape, dtype)) for s in SPLITS}
        remaining = iter(work)
        while chunk := list(islice(remaining, _AT_ONCE)):
            found = pool.map(read, [file for file, _ in chunk])
            for (file, place), pair in zip(chunk, found, strict=True):
                if isinstance(pair, str):
                    left_out.append((file.name, pair))
                else:
                    writers[place].append(pair[0][None])
                    targets[place].append(pair[1])
            progress.advance(len(chunk))
    stacked = {split: np.stack(every) if every else np.zeros(0, np.int64) for split, every in targets.items()}
    counts = {split: list(map(int, reading.count(every))) for split, every in stacked.items()}
    write_notes(folder, stacked, left_out, copies, counts)


def write_notes(
    folder: Path,
    targets: Mapping[str, Array],
    left_out: Sequence[tuple[str, str]],
    copies: Sequence[tuple[str, str]],
    counts: Mapping[str, Sequence[int]],
) -> None:
    """Write targets and observations; remove the arrays of splits without samples, which cannot be mapped."""
    for split, values in targets.items():
        if len(values):
            np.save(folder / f"{split}-targets.npy", values)
        else:
            (folder / f"{split}-samples.npy").unlink(missing_ok=True)
    notes = {"counts": counts, _LEFT_OUT: left_out, _COPIES: copies}
    np.save(folder / f"{NOTES}.npy", np.frombuffer(json.dumps(notes).encode(), np.uint8))


def require_splits(arrays: Mapping[str, Tensor], root: Path) -> None:
    """Raise Ai8xError unless there are samples for training and test."""
    for split, name in (("train", "training"), ("test", "the test")):
        if f"{split}-samples" not in arrays:
            fix = "add samples, or change `split`"
            raise Ai8xError(f"no samples are left for {name}", where=str(root), fix=fix)
