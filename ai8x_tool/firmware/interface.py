"""Conversion of samples to bytes and of unloaded words to outputs, as ``interface.json`` of a project describes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.json_file import read_json

FILE = "interface.json"
_SCHEMA = "ai8x-interface/1"
_WIDTHS = (8, 16, 32)
_MOST_EXTENT, _MOST_LAYERS, _MOST_MICROSECONDS = 1 << 20, 1 << 10, 1e9
_LAST_ADDRESS = 0xFFFF_FFFF
"""Limits of plausible values, since the file is not trusted."""
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Output:
    """An output in the buffer: (channels, rows, columns) elements of `bits` bits, beginning at byte `start`."""

    shape: tuple[int, int, int]
    bits: int
    start: int


@dataclass(frozen=True)
class Interface:
    """Input and outputs of a project. `outputs` is None if the project does not unload outputs.

    `continues` is the number of times that the network is continued after its start, `estimated_us` the estimated time
    of an inference in µs.
    """

    shape: tuple[int, int, int]
    fifo: bool
    outputs: tuple[Output, ...] | None
    continues: int
    estimated_us: float

    def sample_bytes(self, sample: Array, where: str) -> bytes:
        """Return the argument of ``cnn_load_input()``: channel after channel, a signed byte for each pixel.

        `sample` is (channels, rows, columns) or (channels, length).
        """
        shaped = sample if sample.ndim == 3 else sample[..., None]
        if shaped.shape[0] != self.shape[0] or shaped[0].size != self.shape[1] * self.shape[2]:
            have, expected = ("×".join(map(str, shape)) for shape in (sample.shape, self.shape))
            raise Ai8xError(f"the sample is {have}, this project takes {expected}", where=where)
        return np.ascontiguousarray(shaped.astype(np.int8)).tobytes()

    def split_output(self, unloaded: bytes) -> list[Array]:
        """Return the outputs, each (channels, rows, columns) of int64, from the bytes that ``cnn_unload()`` wrote."""
        result = []
        for output in self.outputs or ():
            count, size = math.prod(output.shape), output.bits // 8
            if output.start + count * size > len(unloaded):
                fix = "generate the project again with --overwrite"
                raise Ai8xError(f"cnn_unload() writes less than {FILE} describes: {len(unloaded)} bytes", fix=fix)
            values = np.frombuffer(unloaded, f"<i{size}", count, output.start)
            result.append(values.astype(np.int64).reshape(output.shape))
        return result


def read_interface(folder: Path) -> Interface | None:
    """Return the project's interface, None if there is no such file. Raises Ai8xError if the file is invalid."""
    path = folder / FILE
    if not path.exists():
        return None
    document = read_json(path)
    try:
        return _parse(document)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        fix = "generate the project again with --overwrite"
        raise Ai8xError("invalid, or written by another version", where=str(path), fix=fix) from None


def _parse(document: Any) -> Interface:
    _require(document["schema"] == _SCHEMA)
    outputs = document["outputs"]
    microseconds = float(document["estimated_us"])
    _require(0 <= microseconds <= _MOST_MICROSECONDS)
    return Interface(
        shape=_shape(document["input_shape"]),
        fifo=bool(document["input_fifo"]),
        outputs=None if outputs is None else tuple(_output(entry) for entry in outputs),
        continues=_number(document["continue"], _MOST_LAYERS),
        estimated_us=microseconds,
    )


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _number(value: Any, largest: int, smallest: int = 0) -> int:
    _require(type(value) is int and smallest <= value <= largest)
    return value


def _shape(value: Any) -> tuple[int, int, int]:
    channels, rows, columns = (_number(extent, _MOST_EXTENT, 1) for extent in value)
    return channels, rows, columns


def _output(entry: Any) -> Output:
    _require(entry["bits"] in _WIDTHS)
    return Output(_shape(entry["shape"]), int(entry["bits"]), _number(entry["start"], _LAST_ADDRESS))
