"""Segmentation: classification of every pixel, and intersection over union of every class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ai8x_tool.text import one_line
from ai8x_tool.training.example_plots import displayable, plot_images
from ai8x_tool.training.metrics import Counts, Measured, Score
from ai8x_tool.training.tasks.base import MetricFormat
from ai8x_tool.training.tasks.classification import Classification, ClassMeter


class Segmentation(Classification):
    """One class per pixel: outputs (B, classes, H, W), optionally folded, targets (B, H, W)."""

    name = "segmentation"
    main_metric = MetricFormat("mean_iou", "mIoU", 2, "%")
    reference_key = "mIoU"

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by the mean intersection over union, in which all classes have equal weight, then by Top1."""
        return measured.metrics["mean_iou"], measured.metrics["top1"]

    def _shown(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {"mIoU": metrics["mean_iou"]} | super()._shown(metrics)

    def meter(self) -> SegmentationMeter:
        """Return a meter of the top-k accuracy per pixel and of the mean intersection over union."""
        return SegmentationMeter(self.classes)

    def report(self, score: Score) -> list[str]:
        """Return the intersection over union by class and, if it is requested, the confusion matrix."""
        shares = zip(self.context.entry.labels, intersection_over_union(score.confusion), strict=False)
        text = "    ".join(f"{one_line(label)}: {share:.3f}" for label, share in shares if np.isfinite(share))
        return [f"==> IoU: {text}", *super().report(score)]

    def draw(self, score: Score, folder: Path, title: str) -> None:
        """Draw the confusion matrix and some maps next to their targets."""
        super().draw(score, folder, title)
        some = score.examples
        if some is None or some.inputs.dim() != 4 or some.outputs.dim() != 4:
            return
        columns = [
            ("input", [displayable(one) for one in some.inputs.numpy()]),
            ("target", list(some.targets.numpy())),
            ("output", list(some.outputs.argmax(dim=1).numpy())),
        ]
        plot_images(columns, folder / "examples.png", title, self.classes)


class SegmentationMeter(ClassMeter):
    """Adds the mean intersection over union of the occurring classes, in percent."""

    def metrics(self) -> dict[str, float]:
        """Return the top-k percentages of pixels and the mean intersection over union."""
        shares = intersection_over_union(self.confusion())
        known = shares[np.isfinite(shares)]
        return {**super().metrics(), "mean_iou": float(known.mean()) if known.size else 0.0}


def intersection_over_union(confusion: Counts) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the percentages by class (classes,); NaN for a class that neither occurs nor is predicted."""
    counts = np.array(confusion, np.float64).reshape(len(confusion), len(confusion))
    hits = counts.diagonal()
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    return np.divide(100 * hits, union, out=np.full_like(hits, np.nan), where=union > 0)
