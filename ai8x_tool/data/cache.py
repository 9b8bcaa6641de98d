"""Cache of prepared datasets: folders of memory-mapped arrays, created atomically."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ai8x_tool.errors import Ai8xError

INDEX = "index.json"


class ArrayWriter:
    """Writes an array row by row to a ``.npy`` file of a length not known beforehand.

    It uses plain writes instead of a memory map, so that a full disk causes an error, not a crash.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._row_shape = row_shape
        self._dtype = np.dtype(dtype)
        self._rows = 0
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        """Add `rows` (n, *row shape)."""
        if rows.shape[1:] != self._row_shape or rows.dtype != self._dtype:
            raise ValueError(f"rows {rows.shape} {rows.dtype} do not match (n, {self._row_shape}) {self._dtype}")
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self._rows += len(rows)

    def _write_header(self) -> None:
        # NumPy pads headers, so that the first dimension can grow without moving the data.
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._row_shape),
        }
        self._file.seek(0)
        npy.write_array_header_1_0(self._file, header)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._write_header()


def open_arrays(parent: Path, name: str, key: Mapping[str, object]) -> dict[str, Tensor] | None:
    """Return the result of :func:`cached_arrays` if the cache exists, else None."""
    return _open(_folder(parent, name, key), key)


def cached_arrays(
    parent: Path, name: str, key: Mapping[str, object], build: Callable[[Path], None]
) -> dict[str, Tensor]:
    """Return the arrays of the cache `name` below `parent`, memory-mapped, by file name without suffix.

    `key` contains everything the content depends on (a version, parameters); each key has its own folder. If there is
    no complete cache, `build(folder)` writes ``.npy`` files to a temporary folder next to it, which is then moved into
    place, so that an interrupted build is never mistaken for a complete one. Only building writes. The tensors are
    backed by read-only memory: they must not be changed in place.

    Raises Ai8xError if the cache cannot be written.
    """
    folder = _folder(parent, name, key)
    arrays = _open(folder, key)
    if arrays is None:
        try:
            with _locked(parent, folder.name):
                # Another process may have built the same cache while this one waited.
                arrays = _open(folder, key) or _build(folder, key, build)
        except OSError as error:
            fix = "free some disk space, or use --data with a folder that can be written"
            raise Ai8xError(f"cannot write the prepared dataset: {error}", where=str(folder), fix=fix) from error
    return arrays


def _folder(parent: Path, name: str, key: Mapping[str, object]) -> Path:
    text = json.dumps(key, sort_keys=True)
    return parent / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _build(folder: Path, key: Mapping[str, object], build: Callable[[Path], None]) -> dict[str, Tensor]:
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        build(unfinished)
        sizes = {path.name: path.stat().st_size for path in sorted(unfinished.glob("*.npy"))}
        (unfinished / INDEX).write_text(json.dumps({"key": key, "bytes": sizes}, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    arrays = _open(folder, key)
    if arrays is None:
        raise OSError("the files were changed while they were written")
    return arrays


def _open(folder: Path, key: Mapping[str, object]) -> dict[str, Tensor] | None:
    """Return the arrays of `folder`; None if it is incomplete or has another key."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["key"] != json.loads(json.dumps(key)):
            return None
        if any((folder / name).stat().st_size != size for name, size in index["bytes"].items()):
            return None
        return {Path(name).stem: _map(folder / name) for name in index["bytes"]}
    except Exception:  # damaged files are built again
        return None


def _map(path: Path) -> Tensor:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    with warnings.catch_warnings():
        # PyTorch has no read-only tensors; a private writable map would be fully charged to memory.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


@contextmanager
def _locked(parent: Path, name: str) -> Iterator[None]:
    """Let only one process at a time build `name`; the operating system releases the lock of a dead process."""
    parent.mkdir(parents=True, exist_ok=True)
    lock = parent / f".{name}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
