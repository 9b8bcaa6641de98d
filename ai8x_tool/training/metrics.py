"""Results of a pass over samples, whatever the task: mean loss, metrics by name, and their lines."""

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
    """Some samples of a pass for plots: outputs in real numbers, targets and inputs, as the loss takes them."""

    outputs: Any
    targets: Any
    inputs: Any


@dataclass(frozen=True)
class Score(Measured):
    """Result of a pass. `confusion` [true class][predicted class] is empty where the task has no classes to count."""

    samples: int
    confusion: Counts = ()
    examples: Examples | None = field(default=None, compare=False, repr=False)

    def document(self) -> dict[str, Any]:
        """Return the score as plain values for JSON."""
        confusion = [list(row) for row in self.confusion]
        return {"samples": self.samples, "loss": self.loss, **self.metrics, "confusion": confusion}


def as_measured(results: Mapping[str, float]) -> Measured:
    """Return results by name, the loss being one of them, as they were measured."""
    return Measured(results["loss"], {name: value for name, value in results.items() if name != "loss"})


class Meter(ABC):
    """Collects, batch by batch, the values from which loss and metrics are computed; losses have equal weights.

    :meth:`score` turns a pass into numbers: contributions of other processes must have been added before.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.samples = 0
        self.examples: Examples | None = None

    @property
    def loss(self) -> float:
        """Mean of the batch losses so far."""
        return mean(self.losses)

    @abstractmethod
    def add(self, output: Any, target: Any, inputs: Any) -> None:
        """Count one batch: outputs in real numbers, targets and inputs as the loss takes them."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Return the metrics of all batches so far."""

    def confusion(self) -> Counts:
        """Return the confusion matrix, if there is one."""
        return ()

    def score(self) -> Score:
        """Return the result."""
        return Score(self.loss, self.metrics(), self.samples, self.confusion(), self.examples)


@dataclass
class TrainingMeter:
    """Values of a training epoch: losses by name, and the metrics of the batches that count for them."""

    accuracy: Meter
    objective: list[float] = field(default_factory=list)
    overall: list[float] = field(default_factory=list)
    components: dict[str, list[float]] = field(default_factory=dict)

    def add(self, losses: Mapping[str, float]) -> None:
        """Add the losses of one batch: ``overall``, ``objective`` and components with names of their own."""
        self.overall.append(losses["overall"])
        self.objective.append(losses["objective"])
        for name, value in losses.items():
            if name not in ("overall", "objective"):
                self.components.setdefault(name, []).append(value)

    def items(self) -> dict[str, float | None]:
        """Return the losses of a progress line."""
        parts: dict[str, float | None] = {name: mean(values) for name, values in self.components.items()}
        return {"Overall Loss": mean(self.overall), "Objective Loss": mean(self.objective), **parts}


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 if there are no values."""
    return sum(values) / max(1, len(values))


def progress_line(head: str, step: int, steps: int, items: Mapping[str, float | None]) -> str:
    """Return ``head[ step/ steps]    name value    …``; values that are None are left out."""
    values = [f"    {name} {value:.6f}" for name, value in items.items() if value is not None]
    return f"{head}[{step:5d}/{steps:5d}]{''.join(values)}"


def confusion_lines(confusion: Counts, labels: Sequence[str]) -> list[str]:
    """Return the confusion matrix as aligned text, one row per true class, which is named at its end."""
    width = max((len(str(count)) for row in confusion for count in row), default=1)
    rows = [" ".join(f"{count:{width}d}" for count in row) for row in confusion]
    names = [*map(one_line, labels), *("" for _ in rows[len(labels) :])]
    lines = (f"[{row}]  {name}".rstrip() for row, name in zip(rows, names, strict=False))
    return ["==> Confusion: rows are true classes, columns predicted ones in the same order", *lines]
