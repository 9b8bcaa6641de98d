"""Center crops of samples, for networks whose description has a smaller input than the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from ai8x_tool.data.dataset import DatasetEntry

_IMAGE = 3


def is_middle(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Return whether images of `shape`, (channels, rows, columns), can be center crops of the shape `whole`."""
    if len(whole) != _IMAGE or tuple(shape) == tuple(whole):
        return False
    return shape[0] == whole[0] and shape[1] <= whole[1] and shape[2] <= whole[2]


def seen(entry: DatasetEntry, shape: Sequence[int]) -> DatasetEntry:
    """Return the entry with the input shape of a network for `shape`."""
    return replace(entry, input=tuple(shape)) if is_middle(shape, entry.input) else entry


def middle(values: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
    """Return samples (N, channels, rows, columns), cropped to the center for a network with inputs of `shape`."""
    if not is_middle(shape, values.shape[1:]):
        return values
    top, left = (values.shape[2] - shape[1]) // 2, (values.shape[3] - shape[2]) // 2
    return values[:, :, top : top + shape[1], left : left + shape[2]]
