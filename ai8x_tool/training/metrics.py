"""Loss, Top-k and confusion matrix of a pass over a data set part. spec: training, section 8.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """Result of a pass: percentages, mean batch loss, and the confusion matrix [true class][predicted class]."""

    samples: int
    loss: float
    top1: float
    top5: float
    confusion: tuple[tuple[int, ...], ...]


@dataclass
class Meter:
    """Counts outputs (B, classes, …) against targets (B, …); losses are averaged over batches without weighting."""

    classes: int
    losses: list[float] = field(default_factory=list)
    samples: int = 0
    _top1: int = 0
    _top5: int = 0
    _confusion: Tensor | None = None

    def add(self, output: Tensor, target: Tensor, loss: float) -> None:
        """Count one batch; every position of a map counts as a sample."""
        self.losses.append(loss)
        self.add_outputs(output, target)

    def add_outputs(self, output: Tensor, target: Tensor) -> None:
        """Count one batch without its loss."""
        with torch.no_grad():
            scores, truth = output.detach().movedim(1, -1).flatten(0, -2), target.flatten()
            best = scores.topk(min(5, scores.shape[1]), dim=1).indices
            hits = best == truth[:, None]
            self.samples += len(truth)
            self._top1 += int(hits[:, 0].sum())
            self._top5 += int(hits.sum())
            size = max(self.classes, scores.shape[1])
            counts = torch.bincount(truth * size + best[:, 0], minlength=size * size).view(size, size)
            self._confusion = counts if self._confusion is None else self._confusion + counts

    @property
    def loss(self) -> float:
        """Mean of the batch losses so far."""
        return sum(self.losses) / max(1, len(self.losses))

    @property
    def top1(self) -> float:
        """Percentage of samples whose class has the largest output."""
        return 100 * self._top1 / max(1, self.samples)

    @property
    def top5(self) -> float:
        """Percentage of samples whose class is among the five largest outputs."""
        return 100 * self._top5 / max(1, self.samples)

    def score(self) -> Score:
        """Return the result."""
        counts = [] if self._confusion is None else self._confusion.tolist()
        return Score(self.samples, self.loss, self.top1, self.top5, tuple(tuple(row) for row in counts))


def accuracy_items(meter: Meter | Score, classes: int) -> dict[str, float]:
    """Return Top1 and, with more than five classes, Top5."""
    return {"Top1": meter.top1} | ({"Top5": meter.top5} if classes > 5 else {})


def progress_line(head: str, step: int, steps: int, items: Mapping[str, float | None]) -> str:
    """Return ``head[ step/ steps]    name value    …``; a value that is None leaves blanks. spec: section 8.2."""
    values = [f"{name} {' ' * 8 if value is None else f'{value:.6f}'}    " for name, value in items.items()]
    return f"{head}[{step:5d}/{steps:5d}]    {''.join(values)}"


def summary_line(score: Score, classes: int) -> str:
    """Return ``==> Top1: 91.000    Top5: 99.550    Loss: 0.296``."""
    items = [f"{name}: {value:.3f}" for name, value in accuracy_items(score, classes).items()]
    return "==> " + "    ".join([*items, f"Loss: {score.loss:.3f}"])


def confusion_lines(score: Score) -> list[str]:
    """Return the confusion matrix as aligned text, one row per true class."""
    width = max((len(str(count)) for row in score.confusion for count in row), default=1)
    rows = [" ".join(f"{count:{width}d}" for count in row) for row in score.confusion]
    return ["==> Confusion:", *(f"[{row}]" for row in rows)]
