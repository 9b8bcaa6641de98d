"""Sounds for anomaly detection: time series of one channel, whose windows are normal or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ai8x_tool.data.own.files import DataFile
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.data.own.series_folder import SeriesFolder, windows_of_tables
from ai8x_tool.data.own.sounds import read_sound
from ai8x_tool.data.own.tables import Table

_COLUMN = "sound"
_HOPS = 4
"""Windows that begin within one window: recordings are long and begin at any phase."""


class SoundSeries(SeriesFolder):
    """Windows of sounds as (1, samples) float32."""

    def _tables(self, file: DataFile) -> list[Table]:
        return [_table((self._content.root / file.name).read_bytes(), self._own.rate)]

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return self._own.hop or max(1, self.window // _HOPS)

    def suggestions(self) -> dict[str, Any]:
        """Return window and hop."""
        return {"window": self.window, "hop": self.hop}

    def facts(self) -> list[str]:
        """Return a line about the windows."""
        rate = self._own.rate
        return [
            f"windows of {1000 * self.window / rate:.3g} ms at {rate} samples per second, one every {self.hop} samples"
        ]

    def preprocessing(self, training: Tensor) -> Preprocessing:
        """Return the preprocessing, which maps a range of values to −128 … 127."""
        found = super().preprocessing(training)
        reading = {"rate": self._own.rate, "window": self.window}
        return Preprocessing("sound windows", found.input, found.offset, found.gain, found.per_sample, reading)


def _table(data: bytes, rate: int) -> Table:
    return Table((_COLUMN,), read_sound(data, rate).numpy()[:, None], {})


def windows_of_sound(path: Path, reading: Mapping[str, Any]) -> Tensor:
    """Return the consecutive windows of a sound, without overlap, as (n, 1, samples) float32."""
    return windows_of_tables([_table(path.read_bytes(), reading["rate"])], reading["window"], (_COLUMN,))
