"""Kernel memory: 72-bit columns, loaded in packed mode or as four words each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, Device
from ai8x_tool.virtual.diagnostics import Diagnostics

Array = npt.NDArray[Any]

_COLUMN_SPACE = 16
"""Bytes of address space that a column occupies outside packed mode."""


class KernelMemory:
    """One byte stream per processor: consecutive columns, each beginning with byte 8 (the least significant).

    `stream` is (64, 9·columns) of uint8; `loaded`, (64, columns) of bool, marks the columns that were stored;
    `cleared`, (64,) of bool, the processors whose other columns are known to be 0. `revision` changes
    with every column that is stored.
    """

    def __init__(self, device: Device, diagnostics: Diagnostics) -> None:
        self.device, self.diagnostics = device, diagnostics
        self.columns = np.array([device.kernel_columns(p) for p in range(PROCESSORS)])
        most = int(self.columns.max())
        self.stream = np.zeros((PROCESSORS, most * COLUMN_BYTES), np.uint8)
        self.loaded = np.zeros((PROCESSORS, most), bool)
        self.cleared = np.zeros(PROCESSORS, bool)
        self.revision = 0
        self._next = [0] * PROCESSORS
        self._surplus: list[Array] = [np.zeros(0, np.uint8)] * PROCESSORS
        self._parts: list[list[int]] = [[0, 0, 0] for _ in range(PROCESSORS)]

    def select(self, processor: int, offset: int) -> None:
        """Handle a byte store at `offset` of the processor's window in packed mode: it selects the next column."""
        self._next[processor] = (offset & ~3) // 4
        self._surplus[processor] = np.zeros(0, np.uint8)

    def append(self, processor: int, values: Array) -> None:
        """Append words in packed mode, most significant byte first; every nine bytes complete a column."""
        data = np.concatenate([self._surplus[processor], values.astype(">u4").view(np.uint8)])
        count = len(data) // COLUMN_BYTES
        self._surplus[processor] = data[count * COLUMN_BYTES :]
        if count:
            columns = data[: count * COLUMN_BYTES].reshape(count, COLUMN_BYTES)
            self._store(processor, self._next[processor], columns)
            self._next[processor] += count

    def store_parts(self, processor: int, offsets: Array, values: Array) -> None:
        """Store words outside packed mode: byte 0, bytes 1 to 4, bytes 5 to 8, and one that completes the column."""
        parts = self._parts[processor]
        for offset, value in zip(offsets.tolist(), values.tolist(), strict=True):
            column, part = divmod(offset, _COLUMN_SPACE)
            if part < 12:
                parts[part // 4] = value
                continue
            data = bytes([parts[0] & 0xFF]) + parts[1].to_bytes(4, "big") + parts[2].to_bytes(4, "big")
            self._store(processor, column, np.frombuffer(data, np.uint8).reshape(1, COLUMN_BYTES))

    def _store(self, processor: int, first: int, columns: Array) -> None:
        last = first + len(columns)
        if last > self.columns[processor]:
            text = f"kernel column {last - 1} of processor {processor} does not exist"
            text += f": the last is {self.columns[processor] - 1}"
            self.diagnostics.report("error", text, address=self.device.kernel_base(processor))
            last = max(first, int(self.columns[processor]))
            columns = columns[: last - first]
        target = self.stream[processor, first * COLUMN_BYTES : last * COLUMN_BYTES].reshape(-1, COLUMN_BYTES)
        reversed_bytes = columns[:, ::-1]
        again = self.loaded[processor, first:last]
        if again.any() and (target[again] != reversed_bytes[again]).any():
            column = first + int(np.flatnonzero(again & (target != reversed_bytes).any(axis=1))[0])
            self.diagnostics.report(
                "warning",
                f"kernel column {column} of processor {processor} is stored again with another value",
                address=self.device.kernel_base(processor) + _COLUMN_SPACE * column,
            )
        target[:] = reversed_bytes
        self.loaded[processor, first:last] = True
        self.revision += 1

    def load_word(self, processor: int, offset: int) -> int:
        """Return one of the four words of a column; `offset` is in bytes."""
        column, part = divmod(offset, _COLUMN_SPACE)
        if column >= self.columns[processor] or part >= 12:
            return 0
        data = bytes(self.stream[processor, column * COLUMN_BYTES : (column + 1) * COLUMN_BYTES][::-1])
        return data[0] if part < 4 else int.from_bytes(data[part - 3 : part + 1], "big")

    def clear(self, processors: slice) -> None:
        """Set the kernels of processors to 0, as the memory-clear function does."""
        self.stream[processors] = 0
        self.loaded[processors] = False
        self.cleared[processors] = True
        self.revision += 1
