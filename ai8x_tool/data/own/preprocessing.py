"""Conversion of stored values to the integers of a network's input, by a formula that is saved with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.preprocessing import checked_preprocessing

_SMALLEST = 1e-6


@dataclass(frozen=True)
class Preprocessing:
    """Conversion of files to inputs of shape `input`: −128 … 127 = round((value − offset) · gain), by channel.

    With `per_sample`, offset and gain are those of each sample: its mean, and 127 divided by the largest distance from
    it. `reading` contains the recipe's keys for reading files of this `kind`.
    """

    kind: str
    input: tuple[int, ...]
    offset: tuple[float, ...]
    gain: tuple[float, ...]
    per_sample: bool
    reading: Mapping[str, Any]

    def integers(self, raw: Tensor) -> Tensor:
        """Return the inputs (B, *input), float32 of integers, for stored values (B, channels, …) of any type."""
        values = raw.to(torch.float32)
        values = values[:, None] if values.dim() == 2 else values
        shape = (1, -1, *(1,) * (values.dim() - 2))
        if self.per_sample:
            flat = values.flatten(2)
            offset = flat.mean(dim=2, keepdim=True)
            gain = 127 / (flat - offset).abs().amax(dim=2, keepdim=True).clamp(min=_SMALLEST)
            result = ((flat - offset) * gain).reshape(values.shape)
        else:
            offset, gain = torch.tensor((self.offset, self.gain), device=values.device)
            result = (values - offset.view(shape)) * gain.view(shape)
        result = result.round_().clamp_(-128, 127)
        if self.kind == "sound":  # consecutive samples become the channels of a column
            return result.reshape(len(result), -1, self.input[0]).transpose(1, 2).contiguous()
        return result

    def document(self) -> dict[str, Any]:
        """Return plain values for checkpoints and projects."""
        return {**asdict(self), "input": list(self.input), "offset": list(self.offset), "gain": list(self.gain)}


def inputs_of_file(path: Path, preprocessing: Preprocessing) -> list[NDArray[np.int64]]:
    """Return the inputs, integers −128 … 127 of the network's shape, of a file of the same kind as the training data.

    There is one for images and sounds, and one per window of a table, or of a sound for anomaly detection. Raises
    Ai8xError for files of another kind.
    """
    return list(preprocessing.integers(stored_values(path, preprocessing)).numpy().astype(np.int64))


def stored_values(path: Path, preprocessing: Preprocessing) -> Tensor:
    """Return the values of a file before their conversion to integers: (B, channels, …)."""
    try:
        return _readers()[preprocessing.kind](path, preprocessing.reading)
    except ValueError as error:
        raise Ai8xError(str(error), where=str(path), fix="use a file of the same kind as the training data") from None


def _readers() -> dict[str, Callable[[Path, Mapping[str, Any]], Tensor]]:
    """Return, by kind, the functions that read the stored values of files (B, channels, …)."""
    from ai8x_tool.data.own.image_folder import image_of_file  # noqa: PLC0415  (it imports this module)
    from ai8x_tool.data.own.series_folder import windows_of_file  # noqa: PLC0415
    from ai8x_tool.data.own.sound_folder import sound_of_file  # noqa: PLC0415
    from ai8x_tool.data.own.sound_series import windows_of_sound  # noqa: PLC0415

    return {
        "images": image_of_file,
        "sound": sound_of_file,
        "series": windows_of_file,
        "sound windows": windows_of_sound,
    }


def read_preprocessing(document: Any, where: str) -> Preprocessing:
    """Return the preprocessing stored by :meth:`Preprocessing.document`. Raises Ai8xError for invalid documents."""
    found = checked_preprocessing(document, where)
    numbers = {key: tuple(found[key]) for key in ("input", "offset", "gain")}
    return Preprocessing(kind=found["kind"], per_sample=found["per_sample"], reading=found["reading"], **numbers)
