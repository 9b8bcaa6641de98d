"""Time series in tables: one class per folder, file or run of rows, or numbers to predict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Augment
from ai8x_tool.data.own.files import SPLITS, DataFile, FolderContent
from ai8x_tool.data.own.prepare import Array, Prepared, prepared, write_notes
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.data.own.splits import Unit, assign, content_hash
from ai8x_tool.data.own.tables import Table, read_tables
from ai8x_tool.data.seeding import normal_numbers
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_WINDOWS = (256, 128, 64, 32, 16)
_WINDOWS_PER_CLASS = 24
_BLOCK = 2
"""Number of consecutive windows of a long recording that stay in the same split."""
_MANY_FILES = 30
"""Number of files of a class from which whole files, not parts of them, are assigned to splits."""
_HOPS, _HOPS_FOR_NUMBERS, _HOPS_FOR_ANOMALIES = 2, 4, 16
"""Windows that begin within one window: an autoencoder has to learn every phase of periodic signals."""
_WINDOWS_FOR_NUMBERS = 200
"""Smallest number of windows without overlap for numbers to predict, which change within long windows."""
_QUANTILE, _LEAST_SPREAD, _ROOM_FOR_ANOMALIES = 0.999, 1e-6, 2.0
_MOST_VALUES = 1024
"""Number of values per window that an autoencoder can reconstruct."""
_LOOKED_AT = 12
_STRENGTH = {"light": 1.0, "strong": 2.0}


@dataclass(frozen=True)
class _Piece:
    """Rows of a recording that stay together: windows (n, columns, rows) and their targets."""

    unit: Unit
    windows: Array
    targets: Array


class SeriesFolder:
    """Windows of tables as (channels, rows) float32."""

    def __init__(self, content: FolderContent, own: OwnDataSettings) -> None:
        self._content, self._own = content, own

    @cached_property
    def _examples(self) -> list[tuple[DataFile, Table]]:
        """Some recordings of every class."""
        found: list[tuple[DataFile, Table]] = []
        seen: Counter[str | None] = Counter()
        for file in self._content.files:
            if seen[file.label] < _LOOKED_AT:
                try:
                    found += [(file, table) for table in self._tables(file)]
                    seen[file.label] += 1
                except ValueError:
                    continue
        if not found:
            raise Ai8xError(
                "none of the tables in the folder can be read", where=str(self._content.root), fix="check the files"
            )
        return found

    def _tables(self, file: DataFile) -> list[Table]:
        path = self._content.root / file.name
        return read_tables(path.read_bytes(), path.suffix.lower())

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are channels."""
        if self._own.columns:
            return self._own.columns
        first = self._examples[0][1]
        names = [name for name in first.channel_names() if name not in self._own.target]
        if not names:
            raise Ai8xError("at least one column of numbers must remain as a channel", where=str(self._content.root))
        return tuple(names)

    @cached_property
    def window(self) -> int:
        """Rows of a window: the largest number that provides enough windows of each class."""
        if self._own.window is not None:
            return self._own.window
        rows: Counter[str | None] = Counter()
        for file, table in self._examples:
            rows[file.label] += len(table.values)
        files = Counter(file.label for file in self._content.files)
        looked = Counter(label for label, _ in {(f.label, f.name) for f, _ in self._examples})
        least = min(rows[label] * files[label] / looked[label] for label in rows)
        shortest = min(len(table.values) for _, table in self._examples)
        limit = _MOST_VALUES // len(self.columns) if self._own.task == "anomaly" else max(_WINDOWS)
        wanted = _WINDOWS_FOR_NUMBERS if self._own.task == "regression" else _WINDOWS_PER_CLASS
        for size in _WINDOWS:
            if size <= min(shortest, limit) and least >= size * wanted:
                return size
        return max(1, min(shortest, limit, _WINDOWS[-1]))

    @property
    def hop(self) -> int:
        """Rows from one window to the next."""
        share = {"anomaly": _HOPS_FOR_ANOMALIES, "regression": _HOPS_FOR_NUMBERS}.get(str(self._own.task), _HOPS)
        return self._own.hop or max(1, self.window // share)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes (from folders, file names or the target column), or names of the numbers to predict."""
        own = self._own
        if own.classes:
            return own.classes
        if not own.target:
            return self._content.classes
        if own.task == "regression":
            return own.target
        found: set[str] = set()
        for file in self._content.files:
            try:
                found |= {label for table in self._tables(file) for label in set(self._labels(table))}
            except ValueError:
                continue
        return tuple(sorted(found))

    @property
    def input(self) -> tuple[int, ...]:
        """(channels, rows)."""
        return len(self.columns), self.window

    def suggestions(self) -> dict[str, Any]:
        """Return columns, window, hop and classes."""
        columns, window = self.columns, self.window
        named = {"classes": self.classes} if self._own.target else {}
        return {"columns": columns, "channels": len(columns), "window": window, "hop": self.hop, **named}

    def facts(self) -> list[str]:
        """Return lines about columns and windows."""
        first = self._examples[0][1]
        unused = [name for name in (*first.names, *first.texts) if name not in (*self.columns, *self._own.target)]
        lines = [f"channels: {', '.join(self.columns)}" + (f"; not used: {', '.join(unused)}" if unused else "")]
        gaps = sum(table.gaps for _, table in self._examples)
        text = "1 missing value is interpolated" if gaps == 1 else f"{gaps} missing values are interpolated"
        lines += [text] if gaps else []
        return [*lines, f"windows of {self.window} rows, one every {self.hop} rows"]

    def model(self, own: OwnDataSettings) -> str:
        """Return the name of the shipped model for time series."""
        return "compactautoencoder" if own.task == "anomaly" else "compact1d"

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared windows."""
        own = self._own
        parameters = {
            "columns": list(self.columns),
            "window": self.window,
            "hop": self.hop,
            "target": list(own.target),
            "task": own.task,
        }

        def build(folder: Path) -> None:
            console.info(f"reading {len(self._content.files)} tables of {self._content.root} (once)")
            self._build(folder)

        return prepared(self._content, own, parent, parameters, build)

    def _build(self, folder: Path) -> None:
        left_out = [(name, "not one of the files that are looked for") for name in self._content.others]
        pieces: list[_Piece] = []
        for file in self._content.files:
            try:
                pieces += self._pieces(file)
            except ValueError as error:
                left_out.append((file.name, str(error)))
        places, copies = assign([piece.unit for piece in pieces], self._own)
        empty = np.zeros(0, np.float32 if self._own.task == "regression" else np.int64)
        targets = {}
        for split in SPLITS:
            chosen = [piece for piece, place in zip(pieces, places, strict=True) if place == split]
            targets[split] = np.concatenate([piece.targets for piece in chosen]) if chosen else empty
            if chosen:
                np.save(folder / f"{split}-samples.npy", np.concatenate([piece.windows for piece in chosen]))
        counts = {split: self._counts(values) for split, values in targets.items()}
        write_notes(folder, targets, left_out, copies, counts)

    def _counts(self, targets: Array) -> list[int]:
        """Return the number of windows of each class; of all windows for numbers to predict."""
        count = 2 if self._own.task == "anomaly" else len(self.classes)
        numbers = targets.dtype == np.int64
        return np.bincount(targets, minlength=count).tolist() if numbers else [len(targets)] * count

    def _pieces(self, file: DataFile) -> Iterator[_Piece]:
        """Yield the pieces of a file: the whole file if there are many files, otherwise blocks of several windows."""
        per_class = Counter(each.label for each in self._content.files)
        whole = self._own.group is not None or file.split is not None or per_class[file.label] >= _MANY_FILES
        found = False
        for table in self._tables(file):
            values = table.columns(self.columns)
            for start, stop, label in self._runs(table, file):
                step = stop - start if whole else _BLOCK * self.window
                for begin in range(start, stop, max(1, step)):
                    rows = values[begin : min(stop, begin + step)]
                    if len(rows) < self.window:
                        continue
                    windows = np.lib.stride_tricks.sliding_window_view(rows, self.window, axis=0)[:: self.hop]
                    unit = Unit(file.name, content_hash(np.ascontiguousarray(rows).data.cast("B")), file.split)
                    targets = self._targets(table, label, begin, len(windows))
                    found = True
                    yield _Piece(unit, np.ascontiguousarray(windows, np.float32), targets)
        if not found:
            raise ValueError(f"it has fewer than {self.window} rows of one class")

    def _labels(self, table: Table) -> list[str]:
        name = self._own.target[0]
        if name in table.texts:
            return table.texts[name]
        return [f"{value:g}" for value in table.columns([name])[:, 0].tolist()]

    def _runs(self, table: Table, file: DataFile) -> Iterator[tuple[int, int, int]]:
        """Yield ranges of rows of the same class, with its number."""
        own = self._own
        if own.task == "regression" or not own.target:
            number = self.classes.index(str(file.label)) if file.label in self.classes else 0
            yield 0, len(table.values), min(number, 1) if own.task == "anomaly" else number
            return
        labels = self._labels(table)
        start = 0
        for row in range(1, len(labels) + 1):
            if row == len(labels) or labels[row] != labels[start]:
                if labels[start] in self.classes:
                    yield start, row, self.classes.index(labels[start])
                start = row

    def _targets(self, table: Table, label: int, begin: int, count: int) -> Array:
        if self._own.task != "regression":
            return np.full(count, label, np.int64)
        values = table.columns(self._own.target)
        starts = begin + np.arange(count) * self.hop
        means = [values[start : start + self.window].mean(axis=0) for start in starts]
        return np.stack(means).astype(np.float32)

    def preprocessing(self, training: Tensor) -> Preprocessing:
        """Return the preprocessing, which maps the range of the training windows around their mean to −128 … 127.

        For anomaly detection the range is doubled, so that unusually large values remain distinguishable.
        """
        values = training.movedim(1, 0).flatten(1).numpy().astype(np.float64)
        offset = values.mean(axis=1)
        spread = np.quantile(np.abs(values - offset[:, None]), _QUANTILE, axis=1)
        room = _ROOM_FOR_ANOMALIES if self._own.task == "anomaly" else 1.0
        gain = 127 / room / np.maximum(spread, _LEAST_SPREAD * np.maximum(np.abs(offset), 1))
        if self._own.normalize == "fixed":
            offset, gain = np.zeros_like(offset), np.full_like(gain, 128.0)
        reading = {"columns": list(self.columns), "window": self.window}
        per_sample = self._own.normalize == "sample"
        numbers = (tuple(map(float, offset)), tuple(map(float, gain)))
        return Preprocessing("series", self.input, *numbers, per_sample, reading)

    def augmentation(self, training: Tensor, targets: Tensor, console: Console) -> Augment | None:
        """Return the augmentation of training windows."""
        if self._own.augment == "none" or self._own.task == "regression":
            return None
        spread = training.std(dim=(0, 2), keepdim=True)[0]
        return SeriesVariation(_STRENGTH[self._own.augment], spread)


@dataclass(frozen=True)
class SeriesVariation:
    """Augmentation: scales windows and adds noise; `spread` (channels, 1) is the usual distance from the mean."""

    strength: float
    spread: Tensor

    def __call__(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return windows (B, channels, rows), randomly changed."""
        device = raw.device
        factor = 1 + 0.1 * self.strength * (2 * torch.rand(len(raw), 1, 1, generator=generator) - 1).to(device)
        level = 0.05 * self.strength * torch.rand(len(raw), 1, 1, generator=generator).to(device)
        return raw * factor + normal_numbers(raw.shape, generator, device) * level * self.spread.to(device)


def windows_of_file(path: Path, reading: Mapping[str, Any]) -> Tensor:
    """Return the consecutive windows of a table, without overlap, as (n, channels, rows) float32."""
    tables = read_tables(path.read_bytes(), path.suffix.lower())
    return windows_of_tables(tables, reading["window"], reading["columns"])


def windows_of_tables(tables: Sequence[Table], window: int, columns: Sequence[str]) -> Tensor:
    """Return the windows of tables as (n, channels, rows) float32. Raises ValueError if there are none."""
    found = []
    for table in tables:
        values = table.columns(columns)
        count = len(values) // window
        found += list(values[: count * window].reshape(count, window, -1).transpose(0, 2, 1))
    if not found:
        raise ValueError(f"it has fewer than {window} rows")
    return torch.from_numpy(np.stack(found).astype(np.float32))


def by_file_name(content: FolderContent, classes: Sequence[str]) -> FolderContent:
    """Return the content with the classes of files that no folder names taken from the file names."""
    files = [replace(f, label=f.label or _stem(f.name)) for f in content.files]
    known = [file for file in files if not classes or file.label in classes]
    others = (*content.others, *(file.name for file in files if file not in known))
    return replace(content, files=tuple(known), classes=tuple(classes) or _sorted_labels(files), others=others)


def _stem(name: str) -> str:
    stem = Path(name).stem
    return re.sub(r"[\s_.(-]*\d+\)?$", "", stem) or stem


def _sorted_labels(files: Sequence[DataFile]) -> tuple[str, ...]:
    return tuple(sorted({str(file.label) for file in files}))
