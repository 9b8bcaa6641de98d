"""Samples with the largest errors, with target and output, for reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ai8x_tool.data.boxes import overlaps
from ai8x_tool.training.passes import BatchResult, Selection
from ai8x_tool.training.tasks.base import Task
from ai8x_tool.training.tasks.boxes import BACKGROUND
from ai8x_tool.training.tasks.classification import Classification
from ai8x_tool.training.tasks.detection import Detection
from ai8x_tool.training.tasks.reconstruction import NORMAL, Reconstruction, sample_errors
from ai8x_tool.training.tasks.regression import Regression
from ai8x_tool.training.tasks.segmentation import Segmentation

Array = npt.NDArray[Any]

LIKELY = 0.5
"""Lowest score of boxes that are shown and counted."""
_FOUND_OVERLAP = 0.5
"""Lowest overlap at which a box counts as found, as in the mean average precision."""


@dataclass(frozen=True)
class ShownBox:
    """A box: corners (x0, y0, x1, y1), 0 … 1, label, and whether it is a detection (`found`) or a target."""

    corners: tuple[float, float, float, float]
    label: str
    found: bool


@dataclass(frozen=True, eq=False)
class ShownSample:
    """A sample: number in the split, values (channels, …) −128 … 127, and descriptions of target and output.

    `maps` are class numbers (rows, columns) by title, `output` are values like those of the sample, `boxes` are the
    targets and the detections.
    """

    number: int
    values: Array
    expected: str
    found: str
    maps: tuple[tuple[str, Array], ...] = ()
    output: Array | None = None
    boxes: tuple[ShownBox, ...] = ()


@dataclass(frozen=True, eq=False)
class _Result:
    """Number, output and target of one sample, and its inputs in real numbers, if they are needed."""

    number: int
    output: Any
    target: Tensor
    inputs: Tensor = field(default_factory=lambda: torch.empty(0))


class _Judge(ABC):
    """Error of the outputs of a task, and presentation of a sample."""

    most: ClassVar[int] = 6
    """Largest number of samples to show."""
    reads_inputs: ClassVar[bool] = False
    """Whether errors depend on the inputs; otherwise :meth:`errors` gets none."""

    def __init__(self, task: Any) -> None:
        self.task = task

    @abstractmethod
    def errors(self, output: Any, targets: Tensor, inputs: Tensor) -> Tensor:
        """Return the error of each sample of a batch (N,): 0 if its output is correct."""

    @abstractmethod
    def shown(self, result: _Result) -> ShownSample:
        """Return a sample with its result for a report."""

    def label(self, number: int) -> str:
        """Return the name of a class."""
        labels: Sequence[Any] = self.task.context.entry.labels
        return str(labels[number]) if 0 <= number < len(labels) else str(number)


class _Classes(_Judge):
    """Error of a wrong class: the confidence of the model."""

    most = 24

    def errors(self, output: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if output.dim() != 2 or targets.dim() != 1:  # one class per position
            return torch.zeros(len(output))
        best, found = output.softmax(dim=1).max(dim=1)
        return torch.where(found != targets, best, 0)

    def shown(self, result: _Result) -> ShownSample:
        share, found = result.output.softmax(dim=0).max(dim=0)
        text = f"{self.label(int(found))}, {100 * float(share):.0f} %"
        return ShownSample(result.number, _raw(result.inputs), self.label(int(result.target)), text)


class _Numbers(_Judge):
    """Error of numbers: the mean squared error."""

    most = 12

    def errors(self, output: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if output.numel() != targets.numel():
            return torch.zeros(len(output))
        return (output - targets.view_as(output)).square().flatten(1).mean(dim=1)

    def shown(self, result: _Result) -> ShownSample:
        return ShownSample(result.number, _raw(result.inputs), _numbers(result.target), _numbers(result.output))


class _Masks(_Judge):
    """Error of masks: the share of wrong pixels."""

    def errors(self, output: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if output.dim() != 4 or output.shape[2:] != targets.shape[1:]:
            return torch.zeros(len(output))
        return (output.argmax(dim=1) != targets).flatten(1).float().mean(dim=1)

    def shown(self, result: _Result) -> ShownSample:
        given, found = result.target, result.output.argmax(dim=0)
        maps = (("given", given.numpy()), ("found", found.numpy()))
        text = f"{100 * float((given != found).float().mean()):.1f} % of the pixels wrong"
        return ShownSample(result.number, _raw(result.inputs), "", text, maps)


class _Boxes(_Judge):
    """Error of detections: the number of missed objects and of detections without an object."""

    def errors(self, output: tuple[Tensor, Tensor], targets: Tensor, inputs: Tensor) -> Tensor:
        return torch.tensor([float(sum(_unmatched(*each))) for each in self._pairs(output, targets)])

    def shown(self, result: _Result) -> ShownSample:
        locations, scores = result.output
        ((given, found),) = self._pairs((locations[None], scores[None]), result.target[None])
        missed, surplus = _unmatched(given, found)
        boxes = [self._box(row, found=False) for row in given.tolist()]
        boxes += [self._box(row, found=True) for row in found.tolist()]
        text = f"found: {_listed(box.label for box in boxes if box.found)}; {missed} missed, {surplus} wrong"
        known = f"given: {_listed(box.label for box in boxes if not box.found)}"
        return ShownSample(result.number, _raw(result.inputs), known, text, boxes=tuple(boxes))

    def _pairs(self, output: tuple[Tensor, Tensor], targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return, for each image, the target boxes and the detected boxes with their labels (M, 5)."""
        task: Detection = self.task
        device = task.priors.device
        found = task.detect((output[0].to(device), output[1].to(device)))
        given = [one[one[:, -1] != BACKGROUND][:, [0, 1, 2, 3, -1]] for one in targets]
        return [
            (wanted, torch.cat([one.boxes, one.labels[:, None]], dim=1)[one.scores >= LIKELY].cpu())
            for wanted, one in zip(given, found, strict=True)
        ]

    def _box(self, row: list[float], *, found: bool) -> ShownBox:
        left, top, right, bottom, label = row
        return ShownBox((left, top, right, bottom), self.label(int(label) - 1), found)


class _Copies(_Judge):
    """Error of reconstructions: the mean squared error."""

    reads_inputs = True

    def errors(self, output: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        return sample_errors(output, inputs)

    def shown(self, result: _Result) -> ShownSample:
        task: Reconstruction = self.task
        error = float((result.output - result.inputs.view_as(result.output)).square().mean())
        judged = "" if task.threshold is None else f", classified as {_kind(error > task.threshold)}"
        kind = _kind(int(result.target) != NORMAL) if result.target.dim() == 0 else ""
        output = _raw(result.output.view_as(result.inputs))
        return ShownSample(result.number, _raw(result.inputs), kind, f"error {error:.3g}{judged}", output=output)


_JUDGES: dict[type[Task], type[_Judge]] = {
    Classification: _Classes,
    Regression: _Numbers,
    Segmentation: _Masks,
    Detection: _Boxes,
    Reconstruction: _Copies,
}


def has_wrong_samples(task: Task) -> bool:
    """Return whether the task has an error for individual samples."""
    return type(task) in _JUDGES


class WorstSamples:
    """Keeps the samples of a pass with the largest errors; batches arrive in the order of `samples`."""

    def __init__(self, task: Task, samples: Selection) -> None:
        self._task, self._samples = task, samples
        self._judge = _JUDGES[type(task)](task)
        self._kept: list[tuple[float, _Result]] = []
        self._seen = 0

    def add(self, batch: BatchResult) -> None:
        """Add the raw outputs of a batch."""
        output, targets = self._task.real_outputs(batch.outputs), batch.targets
        indices = self._samples.indices[self._seen : self._seen + len(targets)]
        self._seen += len(targets)
        inputs = self._inputs(indices) if self._judge.reads_inputs else torch.empty(0)
        errors = self._judge.errors(output, targets, inputs)
        for position in errors.argsort(descending=True)[: self._judge.most].tolist():
            if errors[position] > 0:
                result = _Result(int(indices[position]), _at(output, position), targets[position].clone())
                self._kept.append((float(errors[position]), result))
        self._kept = sorted(self._kept, key=lambda kept: -kept[0])[: self._judge.most]

    def result(self) -> tuple[ShownSample, ...]:
        """Return the samples, the largest error first."""
        complete = (replace(each, inputs=self._inputs(torch.tensor([each.number]))[0]) for _, each in self._kept)
        return tuple(map(self._judge.shown, complete))

    def _inputs(self, indices: Tensor) -> Tensor:
        return self._samples.split.batch(indices)[0].cpu().float() / 128


def _at(output: Any, position: int) -> Any:
    if isinstance(output, Tensor):
        return output[position].clone()
    return tuple(part[position].clone() for part in output)


def _unmatched(given: Tensor, found: Tensor) -> tuple[int, int]:
    """Return the numbers of missed targets and surplus detections (M, 5); each matches at most one of its class."""
    shared = overlaps(found[:, :4], given[:, :4]) * (found[:, None, 4] == given[None, :, 4])
    taken: set[int] = set()
    for row in shared:
        candidates = [(float(share), number) for number, share in enumerate(row) if number not in taken]
        share, number = max(candidates, default=(0.0, -1))
        if share >= _FOUND_OVERLAP:
            taken.add(number)
    return len(given) - len(taken), len(found) - len(taken)


def _listed(labels: Iterable[str]) -> str:
    """Return ``2 × car, dog``."""
    counts = Counter(labels).items()
    return ", ".join(label if count == 1 else f"{count} × {label}" for label, count in counts) or "nothing"


def _kind(anomaly: bool) -> str:
    return "anomaly" if anomaly else "normal"


def _numbers(values: Tensor) -> str:
    shown = ", ".join(f"{value:.3g}" for value in values.flatten()[:4].tolist())
    return f"{shown}, …" if values.numel() > 4 else shown


def _raw(values: Tensor) -> npt.NDArray[np.float64]:
    """Return real numbers scaled to −128 … 127."""
    return (values.double() * 128).numpy()
