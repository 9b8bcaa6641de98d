"""Reconstruction (autoencoders): the input is the target; a large error indicates an anomaly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.example_plots import plot_errors
from ai8x_tool.training.metrics import Counts, Examples, Meter, Score, confusion_lines
from ai8x_tool.training.plots import plot_confusion
from ai8x_tool.training.tasks.base import spaced
from ai8x_tool.training.tasks.regression import Regression, draw_pairs, shaped_like

if TYPE_CHECKING:
    from ai8x_tool.data.dataset import Dataset
    from ai8x_tool.training.passes import Predict

NORMAL = 0
_NAMES = {
    "tpr": "TPR",
    "fpr": "FPR",
    "precision": "Precision",
    "accuracy": "Accuracy",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "AUC",
}


class Reconstruction(Regression):
    """Reconstruction of the input. Targets are 0 for normal samples and other numbers for anomalies.

    If the dataset names both kinds, an evaluation distinguishes them: a sample is classified as an anomaly if its error
    is larger than that of ``--anomaly-percentile`` percent of the normal samples for training and validation.
    """

    name = "reconstruction"
    has_classes = True

    threshold: float | None = None

    @property
    def reads_inputs(self) -> bool:
        """True: the inputs are the targets."""
        return True

    def loss(self, output: Tensor, target: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean squared error between outputs and inputs."""
        return super().loss(output, inputs, inputs)

    def meter(self) -> ReconstructionMeter:
        """Return a meter of the error of each sample."""
        return ReconstructionMeter(self.threshold)

    def calibrate(self, data: Dataset, predict: Predict) -> None:
        """Choose the threshold from the errors of normal training samples."""
        if len(self.context.entry.labels) < 2:
            return
        splits = [split for split in (data.train, data.validation) if split is not None]
        passes = (batch for split in splits for batch in predict(split))
        known = [sample_errors(output, inputs)[targets == NORMAL] for output, targets, inputs in passes]
        errors = torch.cat(known).numpy()
        if not errors.size:
            raise Ai8xError(
                f"{self.context.entry.name} must contain normal training samples for comparison with anomalies"
            )
        self.threshold = float(np.percentile(errors, self.context.settings.anomaly_percentile))

    def report(self, score: Score) -> list[str]:
        """Return the metrics of anomaly detection and, if it is requested, the confusion matrix."""
        if not score.confusion:
            return []
        items = [f"{name}: {score.metrics[key]:.4f}" for key, name in _NAMES.items()]
        matrix = confusion_lines(score.confusion, ("normal", "anomaly")) if self.context.settings.confusion else []
        return [f"==> Anomalies above {score.metrics['threshold']:.6f}: {spaced(items)}", *matrix]

    def draw(self, score: Score, folder: Path, title: str) -> None:
        """Draw some inputs next to their reconstructions, and the distribution of errors."""
        some = score.examples
        if some is not None:
            draw_pairs(shaped_like(some.inputs, some.outputs), some.outputs, folder, title)
        if isinstance(some, ErrorExamples):
            plot_errors(some.errors, some.anomalies, self.threshold, folder / "errors.png", title)
        if score.confusion:
            plot_confusion(score.confusion, ("normal", "anomaly"), folder / "confusion.png", title)


@dataclass(frozen=True)
class ErrorExamples(Examples):
    """Examples, the errors (N,) of all samples, and whether they are anomalies (N,)."""

    errors: NDArray[np.float32]
    anomalies: NDArray[np.bool_]


class ReconstructionMeter(Meter):
    """Keeps the error of every sample and whether it is an anomaly."""

    def __init__(self, threshold: float | None) -> None:
        super().__init__()
        self._threshold = threshold
        self._errors: list[Tensor] = []
        self._anomalies: list[Tensor] = []

    @torch.no_grad()
    def add(self, output: Tensor, target: Tensor, inputs: Tensor) -> None:
        """Count one batch."""
        self.samples += len(output)
        self._errors.append(sample_errors(output, inputs))
        self._anomalies.append(target.cpu() != NORMAL)

    def metrics(self) -> dict[str, float]:
        """Return the mean squared error and, with a threshold, the metrics of anomaly detection."""
        errors = torch.cat(self._errors).double() if self._errors else torch.zeros(1)
        found = {"mse": float(errors.mean())}
        if self._threshold is None:
            return found
        counts = anomaly_metrics(np.array(self.confusion(), np.int64))
        area = area_under_curve(errors.numpy(), torch.cat(self._anomalies).numpy()) if self._errors else 0.0
        return found | {"threshold": self._threshold} | counts | {"auc": area}

    def score(self) -> Score:
        """Return the result, with all errors for the plot."""
        score, some = super().score(), self.examples
        if some is None:
            return score
        errors, anomalies = torch.cat(self._errors).numpy(), torch.cat(self._anomalies).numpy()
        return replace(score, examples=ErrorExamples(some.outputs, some.targets, some.inputs, errors, anomalies))

    def confusion(self) -> Counts:
        """Return the counts [normal, anomaly][classified as normal, as anomaly]; empty without a threshold."""
        if self._threshold is None or not self._errors:
            return ()
        flagged, anomalies = torch.cat(self._errors) > self._threshold, torch.cat(self._anomalies)
        counts = torch.bincount(2 * anomalies.long() + flagged.long(), minlength=4).view(2, 2)
        return tuple(tuple(row) for row in counts.tolist())


def sample_errors(output: Tensor, inputs: Tensor) -> Tensor:
    """Return the mean squared difference of each sample (N,), on the CPU."""
    return (output.detach() - shaped_like(inputs, output)).square().flatten(1).mean(dim=1).cpu()


def anomaly_metrics(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Return rates, 0 … 1, from counts [normal, anomaly][classified as normal, as anomaly]; 0 if undefined."""
    (true_negatives, false_positives), (false_negatives, true_positives) = confusion.tolist()

    def share(part: int, rest: int) -> float:
        return part / (part + rest) if part + rest else 0.0

    recall, specificity = share(true_positives, false_negatives), share(true_negatives, false_positives)
    return {
        "tpr": recall,
        "fpr": share(false_positives, true_negatives),
        "precision": share(true_positives, false_positives),
        "accuracy": share(true_positives + true_negatives, false_positives + false_negatives),
        "f1": share(2 * true_positives, false_positives + false_negatives),
        "balanced_accuracy": (recall + specificity) / 2,
    }


def area_under_curve(errors: NDArray[np.float64], anomalies: NDArray[np.bool_]) -> float:
    """Return the probability that an anomaly has a larger error than a normal sample; 0 unless there are both."""
    _, inverse, counts = np.unique(errors, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal errors share the mean of their ranks
    positives = int(anomalies.sum())
    negatives = len(errors) - positives
    if not positives or not negatives:
        return 0.0
    return float((ranks[anomalies].sum() - positives * (positives + 1) / 2) / (positives * negatives))
