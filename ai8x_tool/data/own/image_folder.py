"""Images in folders, one folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Augment
from ai8x_tool.data.own.files import FolderContent
from ai8x_tool.data.own.images import Variation, colours_are_arbitrary, read_image, require_torchvision
from ai8x_tool.data.own.prepare import Array, Prepared, build_from_files, prepared
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_MIDDLE = 128.0
_QUANTILE = 0.001
_STRENGTH = {"light": 1.0, "strong": 2.0}
_FOR_RANGE = 1000
"""Samples that are looked at for the range of values, and for colours."""


class ImageFolder:
    """Images as (channels, rows, columns) uint8."""

    def __init__(self, content: FolderContent, own: OwnDataSettings) -> None:
        self._content, self._own = content, own
        self._size, self._channels = own.rows_and_columns, own.channels or 3
        self.input: tuple[int, ...] = (self._channels, *self._size)

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared images."""
        require_torchvision()

        def decode(data: bytes) -> Array:
            return read_image(data, self._channels, self._size).numpy()

        def build(folder: Path) -> None:
            console.info(f"reading {len(self._content.files)} images of {self._content.root} (once)")
            build_from_files(folder, self._content, self._own, decode, self.input, np.uint8, console)

        return prepared(self._content, self._own, parent, {"input": list(self.input)}, build)

    def preprocessing(self, training: Tensor) -> Preprocessing:
        """Return the range of values that becomes −128 … 127: 0 … 255, or that of (almost all) training values."""
        normalize = self._own.normalize or "fixed"
        offset, gain = [_MIDDLE] * self._channels, [1.0] * self._channels
        if normalize == "measured":
            values = training[:_FOR_RANGE].movedim(1, 0).flatten(1).numpy()
            low, high = np.quantile(values, [_QUANTILE, 1 - _QUANTILE], axis=1)
            gain = (255 / np.maximum(high - low, 1)).tolist()
            offset = (low + _MIDDLE / np.array(gain)).tolist()
        reading = {"size": list(self._size), "channels": self._channels}
        return Preprocessing(*("images", self.input, tuple(offset), tuple(gain)), normalize == "sample", reading)

    def augmentation(self, training: Tensor, targets: Tensor, console: Console) -> Augment | None:
        """Return how training images are varied."""
        own = self._own
        if own.augment == "none":
            return None
        arbitrary = own.any_colour
        if arbitrary is None:
            chosen = torch.linspace(0, len(training) - 1, min(len(training), _FOR_RANGE)).long()
            arbitrary = colours_are_arbitrary(training[chosen], targets[chosen])
            if arbitrary:
                console.info("colours do not tell the classes apart: they are varied in training (any_colour)")
        return Variation(_STRENGTH[own.augment], arbitrary, own.flip)
