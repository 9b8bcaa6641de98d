"""A folder of data as an entry like those of dataset files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ai8x_tool.data.dataset import Augment, Dataset, DatasetEntry, Split
from ai8x_tool.data.own.files import FolderContent, read_folder
from ai8x_tool.data.own.image_folder import ImageFolder
from ai8x_tool.data.own.prepare import Prepared, require_splits
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


class Kind(Protocol):
    """One kind of data."""

    @property
    def input(self) -> tuple[int, ...]:
        """The shape of one sample, channels first."""

    def __init__(self, content: FolderContent, own: OwnDataSettings) -> None: ...

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared samples."""

    def preprocessing(self, training: Tensor) -> Preprocessing:
        """Return how stored samples become inputs."""

    def augmentation(self, training: Tensor, targets: Tensor, console: Console) -> Augment | None:
        """Return how training samples are varied."""


_KINDS: dict[str, type[Kind]] = {"images": ImageFolder}


def own_entry(name: str, own: OwnDataSettings) -> DatasetEntry:
    """Return the dataset in a folder. Raises Ai8xError if there is none; only names and headers are read."""
    content = read_folder(own)
    kind = _KINDS[content.kind](content, own)
    return DatasetEntry(
        name=name,
        input=kind.input,
        labels=content.classes,
        load=_Loader(kind, content),
        class_weights=_weights(content) if own.class_weights == "balanced" else None,
        description=f"{content.kind} in {content.root}",
        task=None,
    )


def _weights(content: FolderContent) -> Sequence[float]:
    """Return weights that are larger for classes with fewer files, 1 on average."""
    counts = Counter(file.label for file in content.files)
    return [len(content.files) / len(content.classes) / max(1, counts[name]) for name in content.classes]


@dataclass(frozen=True)
class _Loader:
    kind: Kind
    content: FolderContent

    def __call__(self, data_dir: Path, console: Console) -> Dataset:
        """Return the splits; `data_dir` is where the cache is."""
        found = self.kind.prepare(data_dir, console)
        for text in found.messages(self.content.classes):
            console.warn(f"{self.content.root}: {text}")
        require_splits(found.arrays, self.content.root)
        preprocessing = self.kind.preprocessing(found.arrays["train-samples"])

        def split(name: str) -> Split:
            raw, targets = found.arrays[f"{name}-samples"], torch.tensor(found.arrays[f"{name}-targets"].numpy())
            return Split(raw, targets, preprocessing.integers)

        train, test = split("train"), split("test")
        train = replace(train, augment=self.kind.augmentation(train.raw, train.targets, console))
        validation = split("validation") if "validation-samples" in found.arrays else None
        return Dataset(train, validation, test, preprocessing.document())
