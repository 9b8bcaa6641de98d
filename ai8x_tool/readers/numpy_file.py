"""Reader of NumPy array files, which checks a header against the file's size before memory is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import require_regular

_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MOST_BYTES = 1 << 32


def read_array(path: Path) -> npt.NDArray[Any]:
    """Return the array in a ``.npy`` file. Raises Ai8xError if the file does not contain exactly one array."""
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise Ai8xError(f"holds {len(arrays)} arrays, not one", where=str(path))
    return arrays[0]


def read_arrays(path: Path) -> list[npt.NDArray[Any]]:
    """Return the consecutive arrays in a file. Raises Ai8xError if the file contains anything else."""
    size = require_regular(path, _MOST_BYTES)
    arrays = []
    with _faults(path), path.open("rb") as file:
        while file.tell() < size:
            arrays.append(_read(file, size))
    return arrays


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Ai8xError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except (ValueError, EOFError) as error:
        raise Ai8xError(f"not a NumPy array file: {error}", where=str(path)) from None


def _read(file: BinaryIO, size: int) -> npt.NDArray[Any]:
    start = file.tell()
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version[0]}.{version[1]} is not known")
    try:
        shape, _, kind = _HEADERS[version](file)
    except Exception:  # it is the text of a Python expression, which can be damaged in any way
        raise ValueError("its header is damaged") from None
    if kind.hasobject:
        raise ValueError("it holds Python objects")
    expected = math.prod(shape) * kind.itemsize
    if any(extent < 0 for extent in shape) or expected > size - file.tell():
        promised = "×".join(map(str, shape))
        raise ValueError(
            f"{promised} values of {kind} do not fit into the {size - file.tell():,} bytes after the header"
        )
    file.seek(start, os.SEEK_SET)
    array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
