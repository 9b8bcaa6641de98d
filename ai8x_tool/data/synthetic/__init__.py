"""Synthetic data in place of a dataset's files, with the same shape and labels, that can be learned.

The kind of data follows from the task and the shape of the input alone, not from the dataset: drawn shapes for images,
boxes for detection, masks for segmentation, moving shapes for sequences of images, tones for sound, spectra for
autoencoders. Images are not stored: samples are rows of numbers, from which batches are generated reproducibly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.synthetic.images import (
    ManyShapes,
    MovingShapes,
    OneShape,
    classes,
    number_split,
    picture_split,
    shape_split,
)
from ai8x_tool.data.synthetic.pictures import COLORS, layout
from ai8x_tool.data.synthetic.tones import Spectra, Tones
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

NOTE = "synthetic data"
_BUDGET = 1 << 25
"""Number of values of all training inputs: datasets with large inputs have fewer samples."""
_FEWEST, _MOST = 48, 4000
_PICTURES = 256
"""Most samples if the targets are images, which are held in memory."""
_TEST_SHARE = 4
_SEEDS = {"train": 1, "test": 2}


def synthetic_entry(entry: DatasetEntry) -> DatasetEntry:
    """Return an entry that loads synthetic data like those of `entry`, with a note that is shown with every result."""
    return replace(entry, load=partial(_load, entry), note=NOTE)


def _load(entry: DatasetEntry, _folder: Path, _console: Console) -> Dataset:
    task = entry.task or ("regression" if len(entry.labels) == 1 else "classification")
    count = min(_MOST, max(_FEWEST, _BUDGET // math.prod(entry.sample)))
    counts = {"train": count, "test": max(_FEWEST, count // _TEST_SHARE)}
    splits = {name: _split(entry, task, name, number) for name, number in counts.items()}
    return Dataset(splits["train"], None, splits["test"])


def _split(entry: DatasetEntry, task: str, name: str, count: int) -> Split:
    random = torch.Generator().manual_seed(_SEEDS[name])
    if task == "reconstruction":
        return _reconstruction(entry, count, random, anomalies=name == "test" and len(entry.labels) > 1)
    if len(entry.input) == 2:
        return _tones(entry, task, count, random)
    if entry.frames is not None:
        return _sequences(entry, count, random)
    return _images(entry, task, count, random)


def _images(entry: DatasetEntry, task: str, count: int, random: torch.Generator) -> Split:
    drawn = layout(entry.input)
    one = OneShape(drawn)
    if task == "regression":
        mosaic = entry.input[0] == COLORS + 1
        return picture_split(one, min(count, _PICTURES), random) if mosaic else number_split(one, count, random)
    if task not in ("detection", "segmentation"):
        return shape_split(one, count, len(entry.labels), random)
    background = task == "segmentation"
    many = ManyShapes(drawn, len(entry.labels) - background, solid=background)
    objects = many.samples(count, random)
    return Split(objects, many.maps(objects) if background else many.boxes(objects, entry.key_points), many)


def _sequences(entry: DatasetEntry, count: int, random: torch.Generator) -> Split:
    assert entry.frames is not None
    channels, height, width = entry.input
    if channels % 2:
        raise Ai8xError(f"{entry.name}: synthetic sequences require pairs of images, not {channels} channels")
    moving = MovingShapes(layout((channels // 2, height, width)), entry.frames, len(entry.labels))
    targets = classes(count, len(entry.labels), random)
    return Split(moving.samples(targets, random), targets, moving)


def _tones(entry: DatasetEntry, task: str, count: int, random: torch.Generator) -> Split:
    if task not in ("classification", "embeddings", "regression"):
        raise Ai8xError(f"synthetic data for {task} require two-dimensional inputs ({entry.name})")
    tones = Tones((entry.input[0], entry.input[1]), len(entry.labels))
    targets = classes(count, len(entry.labels), random)
    samples = tones.samples(targets, random)
    return Split(samples, 3 * (samples[:, 2:3] - 0.6) if task == "regression" else targets, tones)


def _reconstruction(entry: DatasetEntry, count: int, random: torch.Generator, *, anomalies: bool) -> Split:
    flags = torch.arange(count) % 2 if anomalies else torch.zeros(count, dtype=torch.int64)
    if len(entry.input) == 2:
        spectra = Spectra((entry.input[0], entry.input[1]))
        return Split(spectra.samples(flags, random), flags, spectra)
    one = OneShape(layout(entry.input))
    return Split(one.samples(flags, random), flags, one)


__all__ = ["NOTE", "synthetic_entry"]
