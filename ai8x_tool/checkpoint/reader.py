"""Reader of checkpoint files: torch.save's zip archives and its older sequential format."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ai8x_tool.checkpoint.opcodes import check_pickle
from ai8x_tool.checkpoint.unpickler import (
    Array,
    CheckpointUnpickler,
    ClassReference,
    ForbiddenGlobalError,
    LazyTensor,
    Storage,
    StorageType,
)
from ai8x_tool.errors import Ai8xError

__all__ = ["Checkpoint", "ClassReference", "read_checkpoint"]

CLASS_NAMES, PREPROCESSING, DATA_NOTE = "class_names", "preprocessing", "data_note"
"""Keys of `extras` that ``ai8x train`` stores: class names, preprocessing of files, and a note about the data."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MEASURED_KEYS = ("activation_threshold", "final_scale", "clamp_activation")
_NESTING_LIMIT = 64
_MOST_VALUES = 1_000_000
_MEMORY_PER_BYTE, _LEAST_MEMORY = 8, 64 << 20
_ZIP_MAGIC = b"PK\x03\x04"


_MOST_DIGITS = 18
"""Maximum digits of a number that is stored as text."""


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file.

    `state` maps parameter names to arrays, in stored order. `content` is the whole file with tensors as arrays and
    classes of torch.optim as :class:`ClassReference`.
    """

    path: Path
    state: dict[str, Array]
    epoch: int | None
    arch: str | None
    extras: dict[str, Any]
    content: dict[str, Any]

    @property
    def measured_ranges(self) -> bool:
        """Whether the model was trained with measured activation ranges.

        A trainer that measures ranges may have added the keys to an older file: then they are at the end, and 0.
        """
        added = [key.rpartition(".")[2] in _MEASURED_KEYS for key in self.state]
        if not any(key.rpartition(".")[2] == _MEASURED_KEYS[0] for key in self.state):
            return False
        appended = all(added[added.index(True) :])
        ranges = (v for k, v in self.state.items() if k.rpartition(".")[2] in _MEASURED_KEYS[:2])
        return not appended or any(bool(value.any()) for value in ranges)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the outputs in order; empty if the checkpoint does not contain them."""
        names = self.extras.get(CLASS_NAMES)
        known = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return tuple(names) if known and names else ()

    @property
    def data_note(self) -> str | None:
        """Note about the training data, for example that they were synthetic; None without one."""
        note = self.extras.get(DATA_NOTE)
        return " ".join(note.split())[:200] if isinstance(note, str) and note.strip() else None

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Yield the weight tensors, except those of batch normalization."""
        for key, value in self.state.items():
            if key.endswith(".weight") and value.ndim > 1 and value.size:
                yield key, value

    @property
    def is_quantized(self) -> bool:
        """Whether all weights are integers that fit 8 bits, as ``ai8x quantize`` writes them."""
        values = [value for _, value in self.weights()]
        return bool(values) and all(_fits_8_bits(value) for value in values)


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read the checkpoint at `path` safely.

    Raises Ai8xError if the file does not exist, is damaged, contains anything but numbers, text and tensors (the
    offending global is named), or has no ``state_dict``.
    """
    path = Path(path)
    where = str(path)
    if not path.is_file():
        raise Ai8xError("checkpoint not found", where=where)
    try:
        allowance = _Allowance(_LEAST_MEMORY + _MEMORY_PER_BYTE * path.stat().st_size)
        content = _read_zip(path, allowance) if _is_archive(path) else _read_legacy(path, allowance)
    except ForbiddenGlobalError as error:
        raise Ai8xError(
            f"refused: the file asks for {str(error)!r}, which no checkpoint needs; nothing in it was executed",
            where=where,
        ) from None
    except OSError as error:
        raise Ai8xError(f"cannot be read: {error.strerror or error}", where=where) from None
    except Exception as error:  # a hostile or damaged pickle can fail in any way
        reason = str(error).partition("\n")[0][:120]
        detail = f": {reason}" if " " in reason else ""  # an error of keys or numbers alone explains nothing
        raise Ai8xError(f"not a checkpoint, or damaged{detail}", where=where, fix="copy or save it again") from None
    return _checkpoint(path, content)


def _checkpoint(path: Path, content: Any) -> Checkpoint:
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise Ai8xError("no state_dict in this checkpoint", where=str(path), fix="save it with the key 'state_dict'")
    state = {str(k): v for k, v in content["state_dict"].items()}
    for key, value in state.items():
        if not isinstance(value, np.ndarray):
            raise Ai8xError(f"state_dict entry {key!r} is not a tensor", where=str(path))
    epoch, arch, extras = content.get("epoch"), content.get("arch"), content.get("extras")
    return Checkpoint(
        path=path,
        state=state,
        epoch=_whole(epoch),
        arch=arch if isinstance(arch, str) else None,
        extras=extras if isinstance(extras, dict) else {},
        content=content,
    )


def _fits_8_bits(values: Array) -> bool:
    """Return whether all values are integers in the range of a quantized layer (128 has an error of its own)."""
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and np.array_equal(values, np.rint(values)))
    return whole and bool(values.min() >= -128 and values.max() <= 128)


def _whole(value: Any) -> int | None:
    """Return a single finite number, which may be stored as text, as int; None for anything else."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _MOST_DIGITS else None
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0].item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int | float) else None


def _is_archive(path: Path) -> bool:
    """Return whether the file is a complete zip archive. Raises ValueError for a truncated archive."""
    if zipfile.is_zipfile(path):
        return True
    with path.open("rb") as file:
        if file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
            raise ValueError("the file is truncated")
    return False


@dataclass
class _Allowance:
    """Limits of memory and values for a file's content, since a few bytes could request any amount."""

    memory: int
    values: int = _MOST_VALUES

    def take_memory(self, count: int) -> None:
        self.memory -= count
        if self.memory < 0:
            raise ValueError("its tensors need far more memory than the size of the file")

    def take_value(self) -> None:
        self.values -= 1
        if self.values < 0:
            raise ValueError(f"more than {_MOST_VALUES:,} values in addition to tensors")


def _load(file: IO[bytes], load_storage: Callable[[StorageType, str, int], Storage]) -> Any:
    check_pickle(file)
    return CheckpointUnpickler(file, load_storage).load()


def _read_zip(path: Path, allowance: _Allowance) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = {name.split("/", 1)[-1]: name for name in archive.namelist()}

        def member(name: str) -> bytes:
            info = archive.getinfo(names[name])
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError("compressed members are not supported")
            allowance.take_memory(info.file_size)
            return archive.read(info)

        if "data.pkl" not in names:
            raise ValueError("the archive has no data.pkl")
        order = member("byteorder").strip() if "byteorder" in names else b"little"
        cache: dict[str, Array] = {}

        def load(kind: StorageType, key: str, numel: int) -> Storage:
            def fetch() -> Array:
                if key not in cache:
                    cache[key] = _elements(member(f"data/{key}"), kind, numel, big=order == b"big")
                return cache[key]

            return Storage(kind, key, numel, fetch)

        return _resolve(_load(io.BytesIO(member("data.pkl")), load), allowance)


def _read_legacy(path: Path, allowance: _Allowance) -> Any:
    with path.open("rb") as file:
        elements: dict[str, Array] = {}
        kinds: dict[str, tuple[StorageType, int]] = {}

        def no_storage(kind: StorageType, key: str, numel: int) -> Storage:
            raise ValueError("tensor in the file header")

        def load(kind: StorageType, key: str, numel: int) -> Storage:
            kinds[key] = (kind, numel)
            return Storage(kind, key, numel, lambda: elements[key])

        if _load(file, no_storage) != _LEGACY_MAGIC:
            raise ValueError("unknown file format")
        _load(file, no_storage)  # protocol version
        system = _load(file, no_storage)
        big = isinstance(system, dict) and system.get("little_endian") is False
        content = _load(file, load)
        for key in map(str, _load(file, no_storage)):
            kind, numel = kinds[key]
            (stored,) = struct.unpack("<q", file.read(8))
            if stored != numel:
                raise ValueError("storage of unexpected size")
            allowance.take_memory(numel * kind.dtype.itemsize)
            elements[key] = _elements(file.read(numel * kind.dtype.itemsize), kind, numel, big=big)
        return _resolve(content, allowance)


def _elements(data: bytes, kind: StorageType, numel: int, *, big: bool) -> Array:
    dtype = kind.dtype.newbyteorder(">") if big else kind.dtype
    if numel < 0 or len(data) < numel * dtype.itemsize:
        raise ValueError("the file is truncated")
    return np.frombuffer(data, dtype, count=numel).astype(kind.dtype, copy=False)


def _resolve(value: Any, allowance: _Allowance, depth: int = 0) -> Any:
    """Return nested containers with every tensor replaced by its array."""
    if depth > _NESTING_LIMIT:
        raise ValueError("nested too deeply")
    allowance.take_value()
    if isinstance(value, LazyTensor):
        return value.array(allowance.take_memory)
    if isinstance(value, dict):
        return {k: _resolve(v, allowance, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_resolve(v, allowance, depth + 1) for v in value)
    return value
