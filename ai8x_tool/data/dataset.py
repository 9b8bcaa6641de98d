"""Datasets as tensors: prepared once, augmented in whole batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ai8x_tool.console import Console

Augment = Callable[[Tensor, Tensor, torch.Generator], Tensor]
AugmentBoth = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Split:
    """One split (training, validation or test) of a dataset.

    `raw` holds N stored samples of any shape, usually uint8 and possibly memory-mapped. `targets` are, by task:

    * classification, embeddings: N class numbers (int64);
    * segmentation: class numbers (N, H, W) of any integer type;
    * regression: real numbers (N, …) in the shape and unit of the outputs (1.0 is 128 steps);
    * reconstruction: N numbers, 0 for normal samples, others for anomalies (the network's target is its input);
    * detection: objects (N, M, 4 + 2K + 1): boxes, key points, label.

    `prepare` converts a raw batch to the network's input: new float32 tensors (B, C, L) or (B, C, H, W) of *integers*
    −128…127. `augment(raw_batch, indices, generator)` returns an augmented raw batch; `indices` are the positions in
    this split, for augmentation that depends on the sample. If targets change with the samples,
    `augment_both(raw_batch, targets, generator)` returns both. All random numbers come from `generator`, which is on
    the CPU; with `on_any_device`, everything else works on any device that `raw` and `targets` are on.
    """

    raw: Tensor
    targets: Tensor
    prepare: Callable[[Tensor], Tensor]
    augment: Augment | None = None
    augment_both: AugmentBoth | None = None
    on_any_device: bool = False

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return inputs (integers −128…127 as float32) and targets at `indices`, augmented if `generator` is given."""
        places = indices.to(self.raw.device)
        raw, targets = self.raw.index_select(0, places), self.targets[places]
        if generator is not None and self.augment is not None:
            raw = self.augment(raw, indices, generator)
        if generator is not None and self.augment_both is not None:
            raw, targets = self.augment_both(raw, targets, generator)
        return self.prepare(raw), targets


def first_sample(split: Split) -> Split:
    """Return the split reduced to its first sample."""
    return replace(split, raw=split.raw[:1], targets=split.targets[:1])


@dataclass(frozen=True)
class Dataset:
    """The splits of a loaded dataset. `validation` is None if the dataset does not define one.

    `preprocessing` describes, in plain values, the conversion of files to inputs, for checkpoints and projects.
    """

    train: Split
    validation: Split | None
    test: Split
    preprocessing: Mapping[str, Any] | None = None

    @property
    def held_back(self) -> Split:
        """The training split in the form from which validation samples are taken."""
        return self.train


@dataclass(frozen=True)
class DatasetEntry:
    """Entry of the list `datasets` of a dataset file.

    `input` is the shape of one sample, channels first: (C, L) or (C, H, W). `labels` are the class names in target
    order, `class_weights` the loss weights in the same order. `load(data_dir, console)` returns the tensors, from a
    cache if there is one; it raises Ai8xError naming the folder for the files if they can be neither found nor
    downloaded. `note` is shown with every result on this dataset (for example: synthetic speech). `task` is the kind of
    learning problem (docs/tasks.md); None is classification. `detection` is the name of the default parameters in
    configs/detection. `outputs` defines the losses of models with multiple outputs, in order: ``{"shape":
    "classification", "angle": "regression*0.5"}``. `frames` is the number of inputs in a sample that is a sequence,
    `key_points` the number of key points of each object in detection. `file` is the dataset file; it is set when the
    entry is found.
    """

    name: str
    input: tuple[int, ...]
    labels: Sequence[str]
    load: Callable[[Path, Console], Dataset]
    class_weights: Sequence[float] | None = None
    note: str | None = None
    description: str = ""
    task: str | None = None
    detection: str | None = None
    outputs: Mapping[str, str] | None = None
    frames: int | None = None
    key_points: int = 0
    file: Path | None = None

    @property
    def sample(self) -> tuple[int, ...]:
        """Shape of a sample passed to the model: the input, or a sequence of inputs."""
        return tuple(self.input) if self.frames is None else (self.frames, *self.input)
