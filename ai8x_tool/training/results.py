"""Results of a training run: a record per epoch, the best epoch, and the overall result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai8x_tool.training.clipping import LayerClipping
from ai8x_tool.training.metrics import Measured, Score
from ai8x_tool.training.shown_samples import ShownSample
from ai8x_tool.training.tasks.base import MetricFormat


@dataclass(frozen=True)
class BestEpoch(Measured):
    """The best epoch so far: its number and validation result."""

    epoch: int

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"loss": self.loss, **self.metrics, "epoch": self.epoch}


@dataclass(frozen=True)
class EpochRecord(Measured):
    """Results of one epoch in validation and training; `training_metrics` are None if they were not requested."""

    epoch: int
    phase: str
    learning_rate: float
    training_loss: float
    training_metrics: Mapping[str, float | None]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "epoch": self.epoch,
            "phase": self.phase,
            "learning_rate": self.learning_rate,
            "training_loss": self.training_loss,
            **{f"training_{name}": value for name, value in self.training_metrics.items()},
            "loss": self.loss,
            **self.metrics,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class TrainResult:
    """A finished training run.

    `test` is the score of the last epoch's weights, which `checkpoint` contains, `test_of_best` that of
    `best_checkpoint`; both are None if the task has no final test. `wrong` are the test samples with the largest
    errors, for reports. The headlines summarize the validation of the best epoch and both tests. `metric` is the main
    metric, `clipping` the clipped values of the last pass.
    """

    model: str
    dataset: str
    task: str
    folder: Path
    checkpoint: Path
    best_checkpoint: Path
    best: BestEpoch
    best_headline: str
    history: tuple[EpochRecord, ...]
    test: Score | None
    test_of_best: Score | None
    test_headline: str | None
    test_of_best_headline: str | None
    labels: tuple[str, ...]
    note: str | None
    metric: MetricFormat
    seed: int
    seconds: float
    clipping: tuple[LayerClipping, ...] = ()
    wrong: tuple[ShownSample, ...] = field(default=(), compare=False, repr=False)

    def document(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "schema": "ai8x-train/1",
            "model": self.model,
            "dataset": self.dataset,
            "task": self.task,
            "note": self.note,
            "folder": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "best_checkpoint": str(self.best_checkpoint),
            "best": self.best.document(),
            "epochs": [record.document() for record in self.history],
            "test": None if self.test is None else self.test.document(),
            "test_of_best": None if self.test_of_best is None else self.test_of_best.document(),
            "clipping": [layer.document() for layer in self.clipping],
            "labels": list(self.labels),
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }


class TrainingInterruptedError(KeyboardInterrupt):
    """Training was stopped by the user; the message describes how to continue."""
