"""Samples as words for the accelerator, unloaded words as outputs: what ``interface.json`` of a project describes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.errors import Ai8xError

FILE = "interface.json"
_SCHEMA = "ai8x-interface/1"
_LANES = 4
_WIDTHS = (8, 16, 32)
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class InputArray:
    """Words that go to `address`, or all to the FIFO there. `channels`: for each word of a pixel, that of each byte.

    With four `pixels_per_word`, a word holds four pixels of the first channel.
    """

    address: int
    pixels_per_word: int
    channels: tuple[tuple[int | None, ...], ...]

    def words(self, data: Array) -> Array:
        """Return the words (uint32) of a sample, `data`: (channels, pixels) of int8."""
        values = data.view(np.uint8)
        if self.pixels_per_word > 1:
            channel = self.channels[0][0]
            padded = np.zeros(-(-values.shape[1] // _LANES) * _LANES, np.uint8)
            padded[: values.shape[1]] = 0 if channel is None else values[channel]
            return padded.view("<u4")
        with_zero = np.concatenate([values, np.zeros((1, values.shape[1]), np.uint8)])
        places = np.array([[-1 if c is None else c for c in word] for word in self.channels])
        return np.ascontiguousarray(with_zero[places].transpose(2, 0, 1)).view("<u4").reshape(-1)


@dataclass(frozen=True)
class Output:
    """An output in the buffer: (channels, rows, columns) elements of `bits` bits from byte `start` on."""

    shape: tuple[int, int, int]
    bits: int
    start: int


@dataclass(frozen=True)
class Interface:
    """Input and outputs of a project. `arrays` or `outputs` are None where the project cannot take or give any.

    `continues` is how often the network is continued after it was started; `estimated_us` the time of an inference.
    """

    shape: tuple[int, int, int]
    fifo: bool
    arrays: tuple[InputArray, ...] | None
    outputs: tuple[Output, ...] | None
    continues: int
    estimated_us: float

    def sample_words(self, sample: Array, where: str) -> list[tuple[int, Array]]:
        """Return (address, words) of every input array. `sample` is (channels, rows, columns) or (channels, length)."""
        if self.arrays is None:
            raise Ai8xError("this project makes up its input itself", where=where, fix="leave out --synthesize-input")
        shaped = sample if sample.ndim == 3 else sample[..., None]
        if shaped.shape[0] != self.shape[0] or shaped[0].size != self.shape[1] * self.shape[2]:
            have, expected = ("×".join(map(str, shape)) for shape in (sample.shape, self.shape))
            raise Ai8xError(f"the sample is {have}, this project takes {expected}", where=where)
        data = np.ascontiguousarray(shaped.reshape(self.shape[0], -1)).astype(np.int8)
        return [(array.address, array.words(data)) for array in self.arrays]

    def split_output(self, unloaded: bytes) -> list[Array]:
        """Return the outputs, each (channels, rows, columns) of int64, from what ``cnn_unload()`` wrote."""
        result = []
        for output in self.outputs or ():
            values = np.frombuffer(unloaded, f"<i{output.bits // 8}", int(np.prod(output.shape)), output.start)
            result.append(values.astype(np.int64).reshape(output.shape))
        return result


def read_interface(folder: Path) -> Interface | None:
    """Read the project's interface; None where there is no such file. Raises Ai8xError if it makes no sense."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        fix = "generate the project again with --overwrite"
        raise Ai8xError("not an interface file of this version", where=str(path), fix=fix) from None


def _parse(document: Any) -> Interface:
    if document["schema"] != _SCHEMA:
        raise ValueError
    channels, rows, columns = map(int, document["input_shape"])
    arrays, outputs = document["input_arrays"], document["outputs"]
    return Interface(
        shape=(channels, rows, columns),
        fifo=bool(document["input_fifo"]),
        arrays=None if arrays is None else tuple(_input_array(entry, channels) for entry in arrays),
        outputs=None if outputs is None else tuple(_output(entry) for entry in outputs),
        continues=int(document["continue"]),
        estimated_us=float(document["estimated_us"]),
    )


def _input_array(entry: Any, count: int) -> InputArray:
    channels = tuple(tuple(None if c is None else int(c) for c in word) for word in entry["channels"])
    known = all(c is None or 0 <= c < count for word in channels for c in word)
    if not known or not channels or any(len(word) != _LANES for word in channels):
        raise ValueError
    return InputArray(int(entry["address"], 0), int(entry["pixels_per_word"]), channels)


def _output(entry: Any) -> Output:
    channels, rows, columns = map(int, entry["shape"])
    if entry["bits"] not in _WIDTHS:
        raise ValueError
    return Output((channels, rows, columns), int(entry["bits"]), int(entry["start"]))
