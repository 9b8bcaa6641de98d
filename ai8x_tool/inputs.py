"""Conversion of the user's files to inputs of a network: arrays, images, sounds and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.numpy_file import read_array
from ai8x_tool.synthesis.synthesize import load_sample

Array = npt.NDArray[Any]
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_MIDDLE = 128
_GRAY, _COLOR = 1, 3


@dataclass(frozen=True, eq=False)
class Input:
    """Integers −128 … 127 and, for a color image, the red, green and blue values pixel by pixel."""

    values: Array
    frame: bytes | None = None


def inputs_of_file(path: Path, shape: Sequence[int], known: Mapping[str, Any] | None, where: str) -> list[Input]:
    """Return the inputs in a file as integers −128 … 127: one, or one for each window of a table or sound.

    Integers are used unchanged; other arrays and files are converted by `known`, the preprocessing in the project's
    file `where`. Without it, bytes are 0 … 255 as in images, and floating-point numbers are −1 … 1 as in training.
    `shape` is (channels, rows, columns). Raises Ai8xError for files that cannot be converted.
    """
    if path.suffix.lower() == ".npy":
        return _of_array_file(path, shape, known, where)
    if not path.is_file():
        raise Ai8xError("no such file", where=str(path))
    if known is None:
        known = _usual(shape) if path.suffix.lower() in _IMAGES else None
    if known is None:
        fix = "use an array (.npy); only projects for data of `ai8x new` accept other files"
        raise Ai8xError("the project has no preprocessing for files of this kind", where=str(path), fix=fix)
    return _preprocessed(path, known, where)


def _usual(shape: Sequence[int]) -> Mapping[str, Any] | None:
    """Return the default preprocessing of images: 0 … 255 becomes −128 … 127. None if the input is not an image."""
    channels, rows, columns = shape
    if channels not in (_GRAY, _COLOR) or min(rows, columns) == 1:
        return None
    reading = {"size": [rows, columns], "channels": channels}
    values = {"offset": [_MIDDLE] * channels, "gain": [1] * channels, "per_sample": False}
    return {"kind": "images", "input": list(shape), "reading": reading, **values}


def _preprocessed(path: Path, known: Mapping[str, Any], where: str) -> list[Input]:
    from ai8x_tool.data.own.preprocessing import read_preprocessing, stored_values  # noqa: PLC0415  (torch)

    preprocessing = read_preprocessing(known, where)
    stored = stored_values(path, preprocessing)
    integers: Array = preprocessing.integers(stored).numpy().astype(np.int64)
    frame = _frame(stored[0].numpy()) if preprocessing.kind == "images" else None
    return [Input(values, frame) for values in integers]


def _frame(image: Array) -> bytes | None:
    """Return a color image (channels, rows, columns) pixel by pixel, None for other images."""
    return np.moveaxis(image, 0, -1).tobytes() if len(image) == _COLOR and image.ndim == 3 else None


def _of_array_file(path: Path, shape: Sequence[int], known: Mapping[str, Any] | None, where: str) -> list[Input]:
    if not path.is_file():
        return [Input(load_sample(path))]
    array = read_array(path)
    whole = array.dtype.kind == "i" and (known is None or _fits(array.shape, shape))
    if whole and array.dtype in (np.int8, np.int64):
        return [Input(load_sample(path))]
    if known is not None and known.get("kind") == "series" and not whole:
        return _preprocessed(path, known, where)
    if array.dtype.kind == "i":
        return [Input(_in_range(_planar(array, shape, path), path))]
    if array.dtype.kind == "f":
        return [Input(_of_numbers(_planar(array, shape, path), path))]
    if array.dtype == np.uint8:
        return [_of_bytes(array, shape, known, path, where)]
    raise Ai8xError(f"inputs must be integers or floating-point numbers, this file has {array.dtype}", where=str(path))


def _of_numbers(values: Array, path: Path) -> Array:
    if not np.isfinite(values).all() or np.abs(values).max() > 1:
        fix = "divide by the largest possible value, or use bytes (uint8)"
        raise Ai8xError("floating-point numbers must be −1 … 1, as in training", where=str(path), fix=fix)
    return np.clip(np.rint(values * _MIDDLE), -_MIDDLE, _MIDDLE - 1).astype(np.int64)


def _of_bytes(array: Array, shape: Sequence[int], known: Mapping[str, Any] | None, path: Path, where: str) -> Input:
    """Return the input for bytes: the pixels of an image, the samples of a sound, or values without preprocessing."""
    sound = known is not None and known.get("kind") == "sound"
    if known is None or (sound and array.ndim > 1):
        values = _planar(array, shape, path)
        return Input(values.astype(np.int64) - _MIDDLE, _frame(values))
    import torch  # noqa: PLC0415  (only where it is needed)

    from ai8x_tool.data.own.preprocessing import read_preprocessing  # noqa: PLC0415

    if sound and array.size != shape[0] * shape[1] * shape[2]:
        raise Ai8xError(
            f"the sound has {array.size} samples, this project takes {shape[0] * shape[1]}", where=str(path)
        )
    values = array if sound else _planar(array, shape, path)
    inputs: Array = read_preprocessing(known, where).integers(torch.from_numpy(values.copy())[None])[0].numpy()
    return Input(inputs.astype(np.int64), None if sound else _frame(values))


def _in_range(values: Array, path: Path) -> Array:
    if values.size and (values.min() < -_MIDDLE or values.max() >= _MIDDLE):
        raise Ai8xError(f"values must be −128 … 127, these are {values.min()} … {values.max()}", where=str(path))
    return values.astype(np.int64)


def _fits(have: Sequence[int], shape: Sequence[int]) -> bool:
    """Return whether an array is (channels, rows, columns); trailing sizes of 1 may be missing."""
    return (*have, 1, 1)[:3] == tuple(shape) and len(have) <= len(shape)


def _planar(array: Array, shape: Sequence[int], path: Path) -> Array:
    """Return an array as (channels, rows, columns) from this order or from (rows, columns, channels)."""
    channels, rows, columns = shape
    if _fits(array.shape, shape):
        return array.reshape(shape)
    if array.shape == (rows, columns, channels) or (channels == 1 and array.shape == (rows, columns)):
        return np.moveaxis(array.reshape(rows, columns, channels), -1, 0)
    have, expected = ("×".join(map(str, sizes)) for sizes in (array.shape, shape))
    raise Ai8xError(f"the sample is {have}, this project takes {expected}", where=str(path))
