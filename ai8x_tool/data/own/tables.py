"""Tables: CSV, NPY and NPZ files as columns of numbers and text."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MOST_COLUMNS = 4096
_MOST_EXPANSION, _ALWAYS_UNPACKED = 20, 1 << 26
_DELIMITERS = ",;\t|"
_TIME_NAMES = ("time", "timestamp", "t", "date", "datetime", "index", "sample", "seconds", "ms", "us")
_NUMERIC_SHARE = 0.5
_FEW_CHANNELS, _LONG = 32, 64
_EVEN = 0.01
_ROWS_FOR_TIME = 16


@dataclass(frozen=True)
class Table:
    """A recording: `values` (rows, columns) float32 with the `names` of the columns, and columns of text.

    `gaps` is the number of missing cells that were interpolated.
    """

    names: tuple[str, ...]
    values: Array
    texts: dict[str, list[str]]
    gaps: int = 0

    def channel_names(self) -> list[str]:
        """Return the names of the columns, except those with time or number of the rows."""
        return [name for n, name in enumerate(self.names) if not (_is_time_name(name) or self._counts_rows(n))]

    def _counts_rows(self, column: int) -> bool:
        steps = np.diff(self.values[:, column].astype(np.float64))
        return column == 0 and len(steps) >= _ROWS_FOR_TIME and bool(steps.min() > 0) and _is_even(steps)

    def columns(self, wanted: Sequence[str]) -> Array:
        """Return columns by name or, if there is no such name, by number. Raises ValueError for unknown columns."""
        return self.values[:, [self._position(name) for name in wanted]]

    def _position(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        if name.isdigit() and int(name) < len(self.names):
            return int(name)
        raise ValueError(f"there is no column of numbers {name!r}; there are {', '.join(self.names) or 'none'}")


def _is_time_name(name: str) -> bool:
    return name.lower().split("(")[0].split("[")[0].strip() in _TIME_NAMES


def _is_even(steps: Array) -> bool:
    return bool(steps.std() <= _EVEN * steps.mean())


def read_tables(data: bytes, ending: str) -> list[Table]:
    """Return the recordings in the bytes of a file with the suffix `ending`. Raises ValueError if there are none."""
    if not data:
        raise ValueError("the file is empty")
    tables = [_csv(data)] if ending == ".csv" else _arrays(data)
    if not any(table.values.size for table in tables):
        raise ValueError("it has no columns of numbers")
    return tables


def _arrays(data: bytes) -> list[Table]:
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > _MOST_EXPANSION * len(data) + _ALWAYS_UNPACKED:
                raise ValueError(f"it unpacks to {size:,} bytes, which is too many")
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        arrays = list(loaded.values()) if hasattr(loaded, "values") else [loaded]
    except Exception as error:  # NumPy and zipfile raise exceptions of a dozen kinds for damaged files
        raise ValueError(f"it cannot be read as an array ({' '.join(str(error).split())})") from None
    arrays = [array for array in arrays if isinstance(array, np.ndarray)]  # other members of an archive are bytes
    numbers = [array for array in arrays if array.dtype.kind in "iufb" and array.size and 1 <= array.ndim <= 3]
    if not numbers:
        raise ValueError("it contains no array of numbers with 1 to 3 axes")
    parts = [part for array in numbers for part in (array if array.ndim == 3 else [array])]
    return [_of_array(part) for part in parts]


def _of_array(array: Array) -> Table:
    """Return the table of an array (rows, columns), transposed if it has a few long rows."""
    values = array[:, None] if array.ndim == 1 else array
    if values.shape[0] <= _FEW_CHANNELS and values.shape[1] >= _LONG:
        values = values.T
    filled, gaps = _filled(values.astype(np.float64))
    return Table(tuple(map(str, range(filled.shape[1]))), filled.astype(np.float32), {}, gaps)


def _csv(data: bytes) -> Table:
    text = data.decode("utf-8-sig", errors="replace").replace("\0", "")
    lines = (line for line in io.StringIO(text, None) if line.strip() and not line.lstrip().startswith("#"))
    start = list(islice(lines, 20))
    if not start:
        raise ValueError("it has no rows")
    delimiter = max(_DELIMITERS, key=lambda mark: sum(line.count(mark) for line in start))
    decimal_comma = delimiter != "," and all("." not in line for line in start[1:])
    try:
        rows = list(map(tuple, csv.reader(chain(start, lines), delimiter=delimiter, skipinitialspace=True)))
    except csv.Error as error:
        raise ValueError(f"it cannot be read as a table ({error})") from None
    width = max(map(len, rows))
    if width > _MOST_COLUMNS:
        raise ValueError(f"it has {width:,} columns, which is too many")
    first = [_number(cell, decimal_comma) for cell in rows[0]]
    has_header = all(math.isnan(value) for value in first) and any(cell.strip() for cell in rows[0])
    names = [cell.strip() for cell in rows[0]] if has_header else []
    names = [name or str(n) for n, name in enumerate(names)] + [str(n) for n in range(len(names), width)]
    body = rows[1:] if has_header else rows
    numbers, texts, kept = [], {}, []
    for column, name in enumerate(names):
        cells = [row[column] if column < len(row) else "" for row in body]
        values = np.fromiter((_number(cell, decimal_comma) for cell in cells), np.float64, len(cells))
        filled_cells = sum(1 for cell in cells if cell.strip())
        if filled_cells and np.isfinite(values).sum() >= _NUMERIC_SHARE * filled_cells:
            numbers.append(values)
            kept.append(name)
        else:
            texts[name] = [cell.strip() for cell in cells]
    if not numbers or not len(body):
        raise ValueError("it has no columns of numbers")
    filled, gaps = _filled(np.stack(numbers, axis=1))
    return Table(tuple(kept), filled.astype(np.float32), texts, gaps)


def _number(cell: str, decimal_comma: bool) -> float:
    try:
        value = float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _filled(values: Array) -> tuple[Array, int]:
    """Return (rows, columns) with gaps interpolated between neighbours, and the number of gaps."""
    missing = ~np.isfinite(values)
    positions = np.arange(len(values))
    result = values.copy()
    for column in np.flatnonzero(missing.any(axis=0)):
        there = ~missing[:, column]
        if there.any():
            result[:, column] = np.interp(positions, positions[there], values[there, column])
        else:
            result[:, column] = 0
    return result, int(missing.sum())
