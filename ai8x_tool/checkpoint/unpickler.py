"""Unpickler that accepts only the globals that checkpoints need, and rejects any other by name."""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class ForbiddenGlobalError(Exception):
    """The pickle refers to a global that checkpoints do not need."""


@dataclass(frozen=True)
class ClassReference:
    """The name of a class of ``torch.optim`` that a checkpoint mentions; it cannot be called."""

    module: str
    name: str

    def __hash__(self) -> int:  # a pickle can set the fields to values that are too deep to be hashed
        return hash(ClassReference)


@dataclass(frozen=True, eq=False)
class StorageType:
    """A storage class of torch, reduced to its element type."""

    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type in the file; bfloat16 is read as its 16-bit pattern."""
        return np.dtype(STORAGE_DTYPES[self.name])


@dataclass(frozen=True, eq=False)
class Storage:
    """The flat elements of one storage. `key` and `numel` are its key and its number of elements in the pickle."""

    kind: StorageType
    key: str
    numel: int
    fetch: Callable[[], Array]


@dataclass
class LazyTensor:
    """A tensor whose storage may not have been read yet (in the old format, data follow the pickle)."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, allow: Callable[[int], None]) -> Array:
        """Return the tensor as a contiguous array; ValueError if it reaches beyond its storage.

        `allow` is called with the size in bytes before memory is allocated.
        """
        flat = self.storage.fetch()
        if any(n < 0 for n in (*self.shape, *self.stride, self.offset)) or len(self.shape) != len(self.stride):
            raise ValueError("tensor with negative size")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        if 0 not in self.shape and last >= len(flat):
            raise ValueError("tensor reaches beyond its storage")
        bfloat16 = self.storage.kind.name == "BFloat16Storage"
        allow(math.prod(self.shape) * max(4, flat.itemsize))
        if 0 in self.shape:
            return np.zeros(self.shape, "<f4" if bfloat16 else flat.dtype)
        bytes_stride = tuple(s * flat.itemsize for s in self.stride)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, bytes_stride, writeable=False)
        if bfloat16:
            return np.asarray(view.astype("<u4") << 16).view("<f4")
        return np.array(view, order="C")


class _DType:
    """Substitute for numpy.dtype, which accepts only plain numbers and ignores its state."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.dtype = np.dtype(str(name))
        if self.dtype.kind not in "biuf":
            raise ForbiddenGlobalError(f"numpy.dtype({name!r})")

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuild_tensor(storage: Storage, offset: int, shape: Any, stride: Any, *_: Any) -> LazyTensor:
    if not isinstance(storage, Storage):
        raise ValueError("tensor without storage")
    return LazyTensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _numpy_scalar(kind: _DType, data: bytes) -> Any:
    return np.frombuffer(data, kind.dtype, count=1)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return str(text).encode("latin1" if encoding not in {"utf-8", "ascii"} else encoding)


def _size(items: Any = ()) -> tuple[int, ...]:
    return tuple(items)


def _device(*parts: Any) -> str:
    return ":".join(map(str, parts))


_GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.Size": _size,
    "torch.device": _device,
    "numpy.dtype": _DType,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "_codecs.encode": _encode,
}


class CheckpointUnpickler(pickle.Unpickler):
    """Unpickler of one object; storages come from `load_storage(type, key, numel)`."""

    def __init__(self, file: IO[bytes], load_storage: Callable[[StorageType, str, int], Storage]) -> None:
        super().__init__(file, encoding="latin1")
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        """Return the harmless substitute for a global. Raises ForbiddenGlobalError, which names it, for any other."""
        full = f"{module}.{name}"
        if full in _GLOBALS:
            known = _GLOBALS[full]  # a pickle can set attributes of the object it gets, which must not outlive it
            return known if known is OrderedDict else partial(known)
        if module in {"torch", "torch.storage"} and name in STORAGE_DTYPES:
            return StorageType(name)
        if module == "torch.optim" or module.startswith("torch.optim."):
            return ClassReference(module, name)
        raise ForbiddenGlobalError(full)

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage for a persistent reference."""
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], StorageType)):
            raise ValueError("unknown kind of reference")
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError("storage views are not supported")
        return self._load_storage(pid[1], str(pid[2]), int(pid[4]))
