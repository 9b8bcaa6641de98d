"""Datasets as tensors that are prepared once, and whose augmentation works on whole batches."""

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
    * reconstruction: N zeros, other numbers for anomalies (the network's target is its input);
    * detection: objects (N, M, 4 + 2K + 1): boxes, key points, label.

    `prepare` turns a raw batch into the network's input: new float32 tensors (B, C, L) or (B, C, H, W) of
    *integers* −128…127. `augment(raw_batch, indices, generator)` returns an augmented raw batch; `indices` are the
    positions in this split, for augmentation that depends on the sample. Where targets change with the samples,
    `augment_both(raw_batch, targets, generator)` returns both. All random numbers come from `generator`, which is on
    the CPU; with `on_any_device`, all else works wherever `raw` and `targets` are.
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
    """The splits of a loaded dataset. `validation` is None where the dataset does not define one.

    `preprocessing` says, in plain values, how a file becomes an input; checkpoints and projects hold it.
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
    """Entry of a dataset file's list `datasets`.

    `input` is the shape of one sample, channels first: (C, L) or (C, H, W). `labels` are the class names in target
    order, `class_weights` the loss weights in the same order. `load(data_dir, console)` returns the tensors, from a
    cache where there is one; it raises Ai8xError saying where to put the files if they can be neither found nor
    downloaded. `note` is shown wherever a result on this dataset is shown (for example: synthetic speech). `task`
    names the kind of learning problem (docs/tasks.md); None is classification. `detection` names the parameters in
    configs/detection that suit it, for runs that name none. `outputs` names the outputs of models with several, in
    order, each with its kind: ``{"shape": "classification", "angle": "regression*0.5"}``. `frames` is the number of
    inputs in a sample that is a sequence, `key_points` that of each object's key points in detection. `file` is the
    dataset file, once the entry has been found in it.
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
        """The shape of a sample as the model takes it: the input, or a sequence of inputs."""
        return tuple(self.input) if self.frames is None else (self.frames, *self.input)
