"""Files of the user's own as inputs of a network: arrays, images, sounds and tables."""

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
_GRAY, _COLOUR = 1, 3


@dataclass(frozen=True, eq=False)
class Input:
    """Integers −128 … 127, and if they come from an image in colour, its red, green and blue, pixel by pixel."""

    values: Array
    frame: bytes | None = None


def inputs_of_file(path: Path, shape: Sequence[int], known: Mapping[str, Any] | None, where: str) -> list[Input]:
    """Return the inputs in a file, integers −128 … 127: one, or those of each window of a table.

    Integers are inputs as they are; other arrays and files become inputs by the preprocessing that the project in the
    file `where` knows. Without one (`known` is None), bytes are 0 … 255 as in images, and numbers are −1 … 1 as the
    trained model takes them. `shape` is (channels, rows, columns). Raises Ai8xError for what does not become an input.
    """
    if path.suffix.lower() == ".npy":
        return _of_array_file(path, shape, known, where)
    if not path.is_file():
        raise Ai8xError("no such file", where=str(path))
    if known is None:
        known = _usual(shape) if path.suffix.lower() in _IMAGES else None
    if known is None:
        fix = "use an array (.npy); projects made by `ai8x new` take files of their own kind"
        raise Ai8xError("the project does not know how such a file becomes its input", where=str(path), fix=fix)
    return _preprocessed(path, known, where)


def _usual(shape: Sequence[int]) -> Mapping[str, Any] | None:
    """Return how images become inputs where nothing else is known: 0 … 255 is −128 … 127. None if the input is none."""
    channels, rows, columns = shape
    if channels not in (_GRAY, _COLOUR) or min(rows, columns) == 1:
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
    """Return the image (channels, rows, columns) pixel by pixel, if it is in colour."""
    return np.moveaxis(image, 0, -1).tobytes() if len(image) == _COLOUR and image.ndim == 3 else None


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
    raise Ai8xError(f"inputs are integers or numbers, this file holds {array.dtype}", where=str(path))


def _of_numbers(values: Array, path: Path) -> Array:
    if not np.isfinite(values).all() or np.abs(values).max() > 1:
        fix = "divide by the largest possible value, or use bytes (uint8)"
        raise Ai8xError("numbers must be −1 … 1, as the model was trained with", where=str(path), fix=fix)
    return np.clip(np.rint(values * _MIDDLE), -_MIDDLE, _MIDDLE - 1).astype(np.int64)


def _of_bytes(array: Array, shape: Sequence[int], known: Mapping[str, Any] | None, path: Path, where: str) -> Input:
    """Return the input for stored values: pixels, samples of a sound, or of anything else without preprocessing."""
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
    """Whether an array is (channels, rows, columns), without the last of them where they are 1."""
    return (*have, 1, 1)[:3] == tuple(shape) and len(have) <= len(shape)


def _planar(array: Array, shape: Sequence[int], path: Path) -> Array:
    """Return (channels, rows, columns) from an array in this order, or with the channels of pixels together."""
    channels, rows, columns = shape
    if _fits(array.shape, shape):
        return array.reshape(shape)
    if array.shape == (rows, columns, channels) or (channels == 1 and array.shape == (rows, columns)):
        return np.moveaxis(array.reshape(rows, columns, channels), -1, 0)
    have, expected = ("×".join(map(str, sizes)) for sizes in (array.shape, shape))
    raise Ai8xError(f"the sample is {have}, this project takes {expected}", where=str(path))
