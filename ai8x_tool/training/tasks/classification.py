"""Classification of samples or of every position of a map: cross entropy, top-k accuracy, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.metrics import Counts, Measured, Meter, Score, confusion_lines
from ai8x_tool.training.plots import plot_confusion
from ai8x_tool.training.tasks.base import MetricFormat, Task, TaskContext, spaced

_NO_CLASS = -(1 << 62)
"""Disables the ignored target value, which is −100 by default in PyTorch."""


class ClassMeter(Meter):
    """Counts outputs (B, classes, …) against targets (B, …); every position of a map counts as a sample."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self._top1 = self._top5 = 0
        self._confusion: Tensor | None = None

    @torch.no_grad()
    def add(self, output: Tensor, target: Tensor, inputs: Any) -> None:
        """Count one batch."""
        truth = target.flatten().long()
        found, hits = self._answers(output.detach(), truth)
        self.samples += len(truth)
        self._top1 += int((found == truth).sum())
        self._top5 += hits
        size = max(self.classes, output.shape[1])
        counts = torch.bincount(truth * size + found, minlength=size * size).view(size, size)
        self._confusion = counts if self._confusion is None else self._confusion + counts

    def _answers(self, output: Tensor, truth: Tensor) -> tuple[Tensor, int]:
        """Return the class with the largest output, and the number of true classes among the five largest outputs."""
        if output.shape[1] <= 5:  # always among them; searching for the largest alone is much faster
            return output.argmax(dim=1).flatten(), len(truth)
        best = output.movedim(1, -1).flatten(0, -2).topk(5, dim=1).indices
        return best[:, 0], int((best == truth[:, None]).sum())

    def metrics(self) -> dict[str, float]:
        """Return the percentages of samples whose class has the largest output or one of the five largest."""
        count = max(1, self.samples)
        return {"top1": 100 * self._top1 / count, "top5": 100 * self._top5 / count}

    def confusion(self) -> Counts:
        """Return the counts [true class][predicted class]."""
        return () if self._confusion is None else tuple(tuple(row) for row in self._confusion.tolist())


def check_classes(output: Tensor, target: Tensor, weights: Tensor | None = None) -> None:
    """Raise Ai8xError if outputs (B, classes, …) do not match targets (B, …)."""
    fix = "check that the model matches the dataset"
    if output.dim() < 2 or output.shape[2:] != target.shape[1:] or len(output) != len(target):
        shapes = ("×".join(map(str, tensor.shape[1:])) or "1" for tensor in (output, target))
        raise Ai8xError(
            "the model has outputs of {} per sample, which do not match targets of {}".format(*shapes), fix=fix
        )
    classes = output.shape[1]
    if weights is not None and len(weights) != classes:
        raise Ai8xError(f"the model has {classes} outputs, the dataset {len(weights)} classes", fix=fix)
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise Ai8xError(
            f"the dataset has a target {wrong}, but the model has outputs for classes 0 to {classes - 1}", fix=fix
        )


class Classification(Task):
    """One class per sample."""

    name = "classification"
    main_metric = MetricFormat("top1", "Top1", 2, "%")
    has_classes = names_classes = True

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        weights = context.entry.class_weights
        chosen = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        criterion = nn.CrossEntropyLoss(chosen, ignore_index=_NO_CLASS)
        self._criterion = criterion.to(context.device)
        self.classes = len(context.entry.labels)

    def targets(self, target: Any) -> Tensor:
        """Return the targets. Raises Ai8xError for targets that are not class numbers."""
        numbers: Tensor = super().targets(target)
        if numbers.is_floating_point() and not bool((numbers == numbers.round()).all()):
            raise Ai8xError("targets of the dataset must be class numbers", fix="use whole numbers, from 0")
        return numbers

    def loss(self, output: Tensor, target: Tensor, inputs: Tensor) -> Tensor:
        """Return the cross entropy, weighted by class where the dataset has weights."""
        try:
            loss: Tensor = self._criterion(output, target.long())
        except (IndexError, RuntimeError, ValueError):
            check_classes(output, target, self._criterion.weight)
            raise
        return loss

    def meter(self) -> ClassMeter:
        """Return a meter of the top-k accuracy."""
        return ClassMeter(self.classes)

    def _shown(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {"Top1": metrics["top1"]} | ({"Top5": metrics["top5"]} if self.classes > 5 else {})

    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return Top1 and, if there are more than five classes, Top5."""
        return {name: value if meter.samples else None for name, value in self._shown(meter.metrics()).items()}

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by Top1, then by Top5."""
        return measured.metrics["top1"], measured.metrics["top5"]

    def summary_line(self, measured: Measured) -> str:
        """Return ``==> Top1: 91.000    Top5: 99.550    Loss: 0.296``."""
        items = [f"{name}: {value:.3f}" for name, value in self._shown(measured.metrics).items()]
        return "==> " + spaced([*items, f"Loss: {measured.loss:.3f}"])

    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return ``==> Best [Top1: 99.300   Top5: 99.983   Params: 71148 on epoch: 194]``."""
        items = [f"{name}: {value:.3f}" for name, value in self._shown(measured.metrics).items()]
        return f"==> Best [{spaced([*items, f'Params: {parameters} on epoch: {epoch}'], 3)}]"

    def report(self, score: Score) -> list[str]:
        """Return the lines of the confusion matrix if it is requested."""
        shown = self.context.settings.confusion
        return confusion_lines(score.confusion, self.context.entry.labels) if shown else []

    def draw(self, score: Score, folder: Path, title: str) -> None:
        """Draw the confusion matrix."""
        plot_confusion(score.confusion, self.context.entry.labels, folder / "confusion.png", title)
