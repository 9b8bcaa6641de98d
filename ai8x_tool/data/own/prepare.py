"""Preparing a folder once: every file is read, and what cannot be read is noted instead of stopping the rest."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
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
from ai8x_tool.data.own.files import SPLITS, FolderContent, some
from ai8x_tool.data.own.splits import Unit, assign, content_hash
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import real
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

Array = NDArray[Any]
NOTES = "notes"
_FEW = 10
_AT_ONCE = 256
_LEFT_OUT, _COPIES = "left_out", "copies"


@dataclass(frozen=True)
class Prepared:
    """Arrays ``<split>-samples`` and ``<split>-targets`` of the splits that have samples, and what was noticed."""

    arrays: Mapping[str, Tensor]
    counts: Mapping[str, Sequence[int]]
    left_out: Sequence[tuple[str, str]]
    copies: Sequence[tuple[str, str]]

    def messages(self, classes: Sequence[str]) -> Iterator[str]:
        """Yield a line about each thing that may not be meant."""
        if self.left_out:
            shown = (f"{name} ({reason})" for name, reason in self.left_out)
            yield f"{_count(self.left_out, 'file')} left out: {some(shown)}"
        if self.copies:
            shown = (f"{name} is {original}" for name, original in self.copies)
            yield f"{_count(self.copies, 'exact copy', 'exact copies')} left out: {some(shown)}"
        totals = [sum(counts) for counts in zip(*self.counts.values(), strict=True)]
        few = [f"{name} ({n})" for name, n in zip(classes, totals, strict=False) if n < _FEW]
        if few and len(classes) > 1:
            yield f"classes with fewer than {_FEW} samples are hardly learned: {some(few)}"
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
    """Return the arrays that `build` writes, from the cache below `parent` unless a file or a parameter has changed."""
    shared = {"group": own.group, "split": list(own.split), "classes": list(content.classes)}
    key = {**parameters, **shared, "files": content.digest(), "version": 1}
    folder = parent / f"{real(content.root).name}-prepared"
    arrays = cached_arrays(folder, content.kind, key, build)
    _remove_older(folder, content.kind, arrays)
    notes = json.loads(bytes(arrays[NOTES].numpy()).decode())
    return Prepared(arrays, notes["counts"], notes[_LEFT_OUT], notes[_COPIES])


def _remove_older(folder: Path, kind: str, arrays: Mapping[str, Tensor]) -> None:
    """Remove all but the few newest caches; what a process still uses stays until it ends."""
    del arrays  # they are mapped, whatever their folder's name
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
    """Write the arrays of files that are one sample each, decoded in parallel but in the order of their names."""
    numbers = {name: number for number, name in enumerate(content.classes)}
    left_out = [(name, "not one of the files that are looked for") for name in content.others]
    units = [Unit(f.name, content_hash((content.root / f.name).read_bytes()), f.split) for f in content.files]
    places, copies = assign(units, own)
    work = [(f, place) for f, place in zip(content.files, places, strict=True) if place is not None]
    targets: dict[str, list[int]] = {split: [] for split in SPLITS}

    def read(path: Path) -> Array | str:
        try:
            return decode(path.read_bytes())
        except ValueError as error:
            return str(error)

    with ExitStack() as stack:
        progress = stack.enter_context(console.progress("Reading files", len(work)))
        pool = stack.enter_context(ThreadPoolExecutor(min(8, os.cpu_count() or 1)))
        writers = {s: stack.enter_context(ArrayWriter(folder / f"{s}-samples.npy", row_shape, dtype)) for s in SPLITS}
        remaining = iter(work)
        while chunk := list(islice(remaining, _AT_ONCE)):
            rows = pool.map(read, [content.root / file.name for file, _ in chunk])
            for (file, place), row in zip(chunk, rows, strict=True):
                if isinstance(row, str):
                    left_out.append((file.name, row))
                else:
                    writers[place].append(row[None])
                    targets[place].append(0 if file.label is None else numbers[file.label])
            progress.advance(len(chunk))
    write_notes(folder, {s: np.array(t, np.int64) for s, t in targets.items()}, left_out, copies, len(numbers))


def write_notes(
    folder: Path,
    targets: Mapping[str, Array],
    left_out: Sequence[tuple[str, str]],
    copies: Sequence[tuple[str, str]],
    classes: int,
) -> None:
    """Write targets and notes, and remove the arrays of splits without samples, which cannot be mapped."""
    counts = {}
    for split, values in targets.items():
        if len(values):
            np.save(folder / f"{split}-targets.npy", values)
        else:
            (folder / f"{split}-samples.npy").unlink(missing_ok=True)
        numbers = values.tolist() if values.dtype == np.int64 else []
        by_class = Counter(numbers)
        counts[split] = [by_class[number] if numbers else len(values) for number in range(classes)]
    notes = {"counts": counts, _LEFT_OUT: left_out, _COPIES: copies}
    np.save(folder / f"{NOTES}.npy", np.frombuffer(json.dumps(notes).encode(), np.uint8))


def require_splits(arrays: Mapping[str, Tensor], root: Path) -> None:
    """Raise Ai8xError unless there are samples for training and for the test."""
    for split, name in (("train", "training"), ("test", "the test")):
        if f"{split}-samples" not in arrays:
            fix = "add samples, or change `split`"
            raise Ai8xError(f"no samples are left for {name}", where=str(root), fix=fix)
