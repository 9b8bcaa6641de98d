"""Dataset entries of the user's data folders, like those of dataset files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from ai8x_tool.data.dataset import Augment, Dataset, DatasetEntry, Split
from ai8x_tool.data.own.annotated import annotated_folder
from ai8x_tool.data.own.box_folder import BoxFolder
from ai8x_tool.data.own.files import ANOMALY, FolderContent, normal_first, read_folder, some
from ai8x_tool.data.own.image_folder import ImageFolder
from ai8x_tool.data.own.mask_folder import MaskFolder
from ai8x_tool.data.own.prepare import Prepared, require_splits
from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.data.own.series_folder import SeriesFolder, by_file_name
from ai8x_tool.data.own.sound_folder import SoundFolder
from ai8x_tool.data.own.sound_series import SoundSeries
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


class Kind(Protocol):
    """Interface of a kind of data."""

    @property
    def input(self) -> tuple[int, ...]:
        """Shape of one sample, channels first."""

    def suggestions(self) -> dict[str, Any]:
        """Return the settings derived from the files, by name."""

    def facts(self) -> list[str]:
        """Return lines about the files."""

    def model(self, own: OwnDataSettings) -> str:
        """Return the name of the shipped model for such data."""

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared samples."""

    def preprocessing(self, training: Tensor) -> Preprocessing:
        """Return the conversion of stored samples to inputs."""

    def augmentation(self, training: Tensor, targets: Tensor, console: Console) -> Augment | None:
        """Return the augmentation of training samples, None without one."""


_TASKS = {
    "classification": None,
    "segmentation": "segmentation",
    "detection": "detection",
    "regression": "regression",
    "anomaly": "reconstruction",
}
_MODELS = {"reconstruction": "compactautoencoder", "segmentation": "compactunet", "detection": "compactdetector"}
_DETECTION = "own"
"""Name of the detection parameters for the user's data."""
_RANGE = 0.9
_KINDS: dict[str, Callable[[FolderContent, OwnDataSettings], Kind]] = {
    "images": ImageFolder,
    "sound": SoundFolder,
    "series": SeriesFolder,
}


@dataclass(frozen=True)
class Folder:
    """An examined folder: its content, the settings (including the task), and the kind of data."""

    content: FolderContent
    own: OwnDataSettings
    kind: Kind

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs; for anomaly detection, of the normal class and of anomalies."""
        classes = getattr(self.kind, "classes", self.content.classes)
        if self.own.task != "anomaly":
            return classes
        return (classes[0] if classes else "normal", ANOMALY)

    def chosen(self) -> OwnDataSettings:
        """Return the settings, including those derived from the files."""
        shared = {"kind": self.content.kind, "task": self.own.task, "classes": self.content.classes}
        return replace(self.own, **{**shared, **self.kind.suggestions()})

    def facts(self, found: Prepared) -> list[str]:
        """Return lines about the data."""
        count, labels = len(self.content.files), self.labels
        learned = {
            "classification": f"{len(labels)} classes",
            "segmentation": f"{len(labels)} pixel classes",
            "detection": f"objects to detect: {some(labels)}",
            "regression": f"numbers to predict: {', '.join(labels)}",
            "anomaly": f"anomalies to detect; {labels[0]} is normal",
        }[str(self.own.task)]
        return [f"{self.content.root}: {count:,} files ({self.content.kind}), {learned}", *self.kind.facts()]

    @property
    def counted(self) -> str:
        """Unit of the counts of classes."""
        return str(getattr(self.kind, "counted", "samples"))

    def messages(self, found: Prepared, *, by_file: bool = False) -> list[str]:
        """Return a line about each potential mistake in the data; with `by_file`, about each of the first files."""
        classes = self.labels[:1] if self.own.task == "anomaly" else self.labels
        return list(found.messages(classes, by_file=by_file))


def open_folder(own: OwnDataSettings) -> Folder:
    """Examine a folder; only names and headers are read. Raises Ai8xError if it does not exist."""
    annotated = annotated_folder(own)
    if annotated is not None:
        return Folder(annotated.content, annotated.own, annotated.kind)
    content = read_folder(own)
    if content.kind == "series" and not own.target and not any(file.label for file in content.files):
        content = by_file_name(content, own.classes)
    own = replace(own, task=own.task or _task(content, own))
    if own.task == "anomaly":
        content = normal_first(content, own.classes)
    kind = SoundSeries if (content.kind, own.task) == ("sound", "anomaly") else _KINDS[content.kind]
    return Folder(content, own, kind(content, own))


def _task(content: FolderContent, own: OwnDataSettings) -> Literal["classification", "anomaly"]:
    """Return the task: anomaly detection if there is only one class for training, else classification."""
    trained = {file.label for file in content.files if file.split in (None, "train")}
    single = len(trained) == 1 and len(own.classes) < 2 and not own.target
    return "anomaly" if single else "classification"


def own_entry(name: str, own: OwnDataSettings) -> DatasetEntry:
    """Return the dataset of a folder; only names and headers are read. Raises Ai8xError if it does not exist."""
    folder = open_folder(own)
    content, task = folder.content, folder.own.task
    return DatasetEntry(
        name=name,
        input=folder.kind.input,
        labels=folder.labels,
        load=_Loader(folder),
        class_weights=_weights(folder) if own.class_weights == "balanced" else None,
        description=f"{content.kind} in {content.root}",
        task=_TASKS[task or "classification"],
        detection=_DETECTION if task == "detection" else None,
    )


def fitting_model(entry: DatasetEntry) -> str:
    """Return the name of the shipped model for the inputs of a dataset."""
    if entry.task == "reconstruction" and len(entry.input) == 3:
        return "compactautoencoder2d"
    if entry.task in _MODELS:
        return _MODELS[entry.task]
    return "compact2d" if len(entry.input) == 3 else "compact1d"


def _weights(folder: Folder) -> Sequence[float]:
    """Return weights that are larger for classes with fewer files, 1 on average."""
    content = folder.content
    if isinstance(folder.kind, MaskFolder | BoxFolder):
        fix = "leave out class_weights"
        raise Ai8xError(f"class_weights: {folder.own.task} has no classes of files", where=str(content.root), fix=fix)
    counts = Counter(file.label for file in content.files)
    return [len(content.files) / len(content.classes) / max(1, counts[name]) for name in content.classes]


@dataclass(frozen=True)
class _Loader:
    folder: Folder

    def __call__(self, data_dir: Path, console: Console) -> Dataset:
        """Return the splits; `data_dir` is the folder of the cache."""
        kind, root = self.folder.kind, self.folder.content.root
        found = kind.prepare(data_dir, console)
        for text in self.folder.messages(found):
            console.warn(f"{root}: {text}")
        require_splits(found.arrays, root)
        preprocessing = kind.preprocessing(found.arrays["train-samples"])
        scale = _target_scale(found) if self.folder.own.task == "regression" else None

        def split(name: str) -> Split:
            raw, targets = found.arrays[f"{name}-samples"], torch.tensor(found.arrays[f"{name}-targets"].numpy())
            targets = targets if scale is None else (targets - scale[0]) / scale[1]
            return Split(raw, targets, preprocessing.integers, on_any_device=True)

        train, test = split("train"), split("test")
        if isinstance(kind, MaskFolder | BoxFolder):
            train = replace(train, augment_both=kind.augmentation_of_both())
        else:
            train = replace(train, augment=kind.augmentation(train.raw, train.targets, console))
        validation = split("validation") if "validation-samples" in found.arrays else None
        document = preprocessing.document()
        if scale is not None:
            document["target"] = {"offset": scale[0].tolist(), "scale": scale[1].tolist()}
        if self.folder.own.task == "segmentation":
            document["pixels"] = list(self.folder.labels)
        return Dataset(train, validation, test, document)


def _target_scale(found: Prepared) -> tuple[Tensor, Tensor]:
    """Return center and half range of the numbers to predict, which map training targets to −0.9 … 0.9."""
    targets = torch.tensor(found.arrays["train-targets"].numpy())
    low, high = targets.amin(dim=0), targets.amax(dim=0)
    return (low + high) / 2, ((high - low) / 2 / _RANGE).clamp(min=1e-9)
