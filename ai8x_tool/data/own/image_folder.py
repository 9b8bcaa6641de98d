"""Images in folders, one folder for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Augment
from ai8x_tool.data.own.files import FolderContent
from ai8x_tool.data.own.images import Variation, colours_are_arbitrary, read_header, read_image, require_torchvision
from ai8x_tool.data.own.prepare import Array, Prepared, build_from_files, prepared
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_MIDDLE = 128.0
_QUANTILE = 0.001
_SMALLEST, _LARGEST = 16, 64
STRENGTH = {"light": 1.0, "strong": 2.0}
_FOR_RANGE = 1000
"""Number of samples examined for the range of values and for colours."""


class ImageFolder:
    """Images as (channels, rows, columns) uint8."""

    def __init__(self, content: FolderContent, own: OwnDataSettings) -> None:
        self._content, self._own = content, own
        self._size, self._channels = own.rows_and_columns, own.channels or 3
        self.input: tuple[int, ...] = (self._channels, *self._size)

    @cached_property
    def _headers(self) -> list[tuple[int, int, bool]]:
        """Rows, columns and whether there is colour, of the files whose header can be read."""
        require_torchvision()
        step = max(1, len(self._content.files) // _FOR_RANGE)
        headers = (read_header(self._content.root / file.name) for file in self._content.files[::step])
        return [header for header in headers if header is not None]

    def suggestions(self) -> dict[str, Any]:
        """Return size and channels: at most 64 × 64, and one channel if no file has colours."""
        headers = self._headers
        if not headers:
            return {"size": self._size, "channels": self._channels}
        shorter = sorted(min(rows, columns) for rows, columns, _ in headers)[len(headers) // 2]
        side = self._own.size or (max(_SMALLEST, min(_LARGEST, shorter // 8 * 8)),)
        channels = self._own.channels or (3 if any(colour for *_, colour in headers) else 1)
        return {"size": (side[0], side[-1]), "channels": channels}

    def facts(self) -> list[str]:
        """Return a line about the sizes."""
        sizes = Counter((rows, columns) for rows, columns, _ in self._headers).most_common(3)
        shown = ", ".join(f"{columns}×{rows} ({count})" for (rows, columns), count in sizes)
        return [f"sizes: {shown}" + (" and others" if len({h[:2] for h in self._headers}) > len(sizes) else "")]

    def model(self, own: OwnDataSettings) -> str:
        """Return the name of the shipped model for images."""
        return "compactautoencoder2d" if own.task == "anomaly" else "compact2d"

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
        """Return the preprocessing, which maps 0 … 255, or the range of (almost all) training values, to −128 … 127."""
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
        """Return the augmentation of training images."""
        own = self._own
        if own.augment == "none":
            return None
        arbitrary = own.any_colour
        if arbitrary is None:
            chosen = torch.linspace(0, len(training) - 1, min(len(training), _FOR_RANGE)).long()
            arbitrary = colours_are_arbitrary(training[chosen], targets[chosen])
            if arbitrary:
                console.info("the classes do not differ by colour: colours are varied in training (any_colour)")
        return Variation(STRENGTH[own.augment], arbitrary, own.flip)


def image_of_file(path: Path, reading: Mapping[str, Any]) -> Tensor:
    """Return the image of a file as (1, channels, rows, columns) uint8."""
    require_torchvision()
    rows, columns = reading["size"]
    return read_image(path.read_bytes(), reading["channels"], (rows, columns))[None]
