"""Results of a pass over samples for all tasks: mean loss, metrics by name, and their log lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai8x_tool.text import one_line

Counts = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Measured:
    """A mean batch loss and the task's metrics by name."""

    loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Examples:
    """Some samples of a pass for plots: outputs in real numbers, targets and inputs, in the form used by the loss."""

    outputs: Any
    targets: Any
    inputs: Any


@dataclass(frozen=True)
class Score(Measured):
    """Result of a pass. `confusion` [true class][predicted class] is empty if the task has no confusion matrix."""

    samples: int
    confusion: Counts = ()
    examples: Examples | None = field(default=None, compare=False, repr=False)

    def document(self) -> dict[str, Any]:
        """Return the score as plain values for JSON."""
        confusion = [list(row) for row in self.confusion]
        return {"samples": self.samples, "loss": self.loss, **self.metrics, "confusion": confusion}


def as_measured(results: Mapping[str, float]) -> Measured:
    """Return stored results by name, which include the loss, as `Measured`."""
    return Measured(results["loss"], {name: value for name, value in results.items() if name != "loss"})


class Meter(ABC):
    """Collects, batch by batch, the values for loss and metrics; the losses of batches have equal weights.

    Contributions of other processes must have been added before :meth:`score` is called.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.samples = 0
        self.examples: Examples | None = None

    @property
    def loss(self) -> float:
        """Return the mean of the batch losses so far."""
        return mean(self.losses)

    @abstractmethod
    def add(self, output: Any, target: Any, inputs: Any) -> None:
        """Add one batch: outputs in real numbers, targets and inputs in the form used by the loss."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Return the metrics of all batches so far."""

    def confusion(self) -> Counts:
        """Return the confusion matrix, empty if the task has none."""
        return ()

    def score(self) -> Score:
        """Return the result."""
        return Score(self.loss, self.metrics(), self.samples, self.confusion(), self.examples)


@dataclass
class TrainingMeter:
    """Values of a training epoch: losses by name, and the metrics of the batches for which they are computed."""

    accuracy: Meter
    objective: list[float] = field(default_factory=list)
    overall: list[float] = field(default_factory=list)
    components: dict[str, list[float]] = field(default_factory=dict)

    def add(self, losses: Mapping[str, float]) -> None:
        """Add the losses of one batch: ``overall``, ``objective`` and other components by name."""
        self.overall.append(losses["overall"])
        self.objective.append(losses["objective"])
        for name, value in losses.items():
            if name not in ("overall", "objective"):
                self.components.setdefault(name, []).append(value)

    def items(self) -> dict[str, float | None]:
        """Return the losses for a progress line."""
        parts: dict[str, float | None] = {name: mean(values) for name, values in self.components.items()}
        return {"Overall Loss": mean(self.overall), "Objective Loss": mean(self.objective), **parts}


def mean(values: Sequence[float]) -> float:
    """Return the mean of `values`, 0 if there are none."""
    return sum(values) / max(1, len(values))


def progress_line(head: str, step: int, steps: int, items: Mapping[str, float | None]) -> str:
    """Return ``head[ step/ steps]    name value    …``, without values that are None."""
    values = [f"    {name} {value:.6f}" for name, value in items.items() if value is not None]
    return f"{head}[{step:5d}/{steps:5d}]{''.join(values)}"


def confusion_lines(confusion: Counts, labels: Sequence[str]) -> list[str]:
    """Return the confusion matrix as aligned lines, one per true class, each followed by the name of the class."""
    width = max((len(str(count)) for row in confusion for count in row), default=1)
    rows = [" ".join(f"{count:{width}d}" for count in row) for row in confusion]
    names = [*map(one_line, labels), *("" for _ in rows[len(labels) :])]
    lines = (f"[{row}]  {name}".rstrip() for row, name in zip(rows, names, strict=False))
    return ["==> Confusion: rows are true classes, columns predicted ones in the same order", *lines]
