"""Samples of which a network sees the middle: its description gives a smaller input than the dataset has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from ai8x_tool.data.dataset import DatasetEntry

_IMAGE = 3


def is_middle(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether images of `shape`, (channels, rows, columns), can be the middle of larger ones of the shape `whole`."""
    if len(whole) != _IMAGE or tuple(shape) == tuple(whole):
        return False
    return shape[0] == whole[0] and shape[1] <= whole[1] and shape[2] <= whole[2]


def seen(entry: DatasetEntry, shape: Sequence[int]) -> DatasetEntry:
    """Return the entry with the part of its input that a network for `shape` sees."""
    return replace(entry, input=tuple(shape)) if is_middle(shape, entry.input) else entry


def middle(values: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
    """Return the middle of samples (N, channels, rows, columns), if a network for `shape` sees that."""
    if not is_middle(shape, values.shape[1:]):
        return values
    top, left = (values.shape[2] - shape[1]) // 2, (values.shape[3] - shape[2]) // 2
    return values[:, :, top : top + shape[1], left : left + shape[2]]
