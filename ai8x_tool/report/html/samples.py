"""Samples in a report: images, class maps, boxes and waveforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.report.html.charts import wave_drawing
from ai8x_tool.report.html.png import image_data, map_data
from ai8x_tool.report.html.shapes import Drawing

if TYPE_CHECKING:
    from ai8x_tool.training.shown_samples import ShownBox, ShownSample

_COLORS = (
    *("#8a929b", "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf"),
    *("#f5d000", "#003f5c"),
)
_NOTES = {
    "segmentation": "The test samples with the most wrong pixels: the input, the given mask, and the model's mask.",
    "detection": "The test images with the most objects that were missed or found wrongly. "
    "Green boxes are given, dashed red ones were found with a score of at least 50 %.",
    "reconstruction": "The test samples with the largest reconstruction errors: the input and the output of the model.",
}
_NOTE = "The test samples with the largest errors: the expected result, and the model's."


@dataclass(frozen=True)
class Outline:
    """A box on an image: position and size in percent of the image, its label, and whether the model found it."""

    x: float
    y: float
    width: float
    height: float
    label: str
    found: bool


@dataclass(frozen=True)
class View:
    """An image, optionally with boxes, or a drawing."""

    title: str
    image: str = ""
    drawing: Drawing | None = None
    boxes: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class SampleDrawing:
    """A sample: its views, the expected result and the model's."""

    number: int
    expected: str
    found: str
    views: tuple[View, ...]


def samples_note(task: str) -> str:
    """Return the text that explains the samples of a task."""
    return _NOTES.get(task, _NOTE)


def samples_title(task: str) -> str:
    """Return the heading of the samples of a task."""
    return "Wrong samples" if task in ("classification", "detection") else "Samples with the largest errors"


def sample_drawing(sample: ShownSample) -> SampleDrawing:
    """Return the content of a page for a sample."""
    several = sample.maps or sample.output is not None
    views = [_view("input" if several else "", f"sample-{sample.number}", sample.values, sample.boxes)]
    views += [View(title, map_data(classes, _rgb(int(classes.max(initial=0)) + 1))) for title, classes in sample.maps]
    if sample.output is not None:
        views.append(_view("output", f"output-{sample.number}", sample.output, ()))
    return SampleDrawing(sample.number, sample.expected, sample.found, tuple(views))


def map_key(samples: Sequence[ShownSample], labels: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """Return the color and the name of each class that occurs in the maps of `samples`."""
    present = sorted({int(number) for sample in samples for _, classes in sample.maps for number in np.unique(classes)})
    return tuple((_color(n), str(labels[n]) if 0 <= n < len(labels) else str(n)) for n in present)


def _view(title: str, name: str, values: npt.NDArray[Any], boxes: Sequence[ShownBox]) -> View:
    if values.ndim != 3:
        return View(title, drawing=wave_drawing(name, values))
    return View(title, image_data(_plain(values)), boxes=tuple(map(_outline, boxes)))


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image of 1 or 3 channels: 3·r² channels are unfolded by r, otherwise the first channel is used."""
    channels, height, width = values.shape
    ratio = math.isqrt(channels // 3)
    if channels != 3 * ratio**2:
        return values[:1]
    parts = values.reshape(ratio, ratio, 3, height, width).transpose(2, 3, 0, 4, 1)
    return parts.reshape(3, height * ratio, width * ratio)


def _outline(box: ShownBox) -> Outline:
    left, top, right, bottom = (100 * min(1.0, max(0.0, corner)) for corner in box.corners)
    return Outline(left, top, max(0.0, right - left), max(0.0, bottom - top), box.label, box.found)


def _color(number: int) -> str:
    return _COLORS[number % len(_COLORS)]


def _rgb(count: int) -> npt.NDArray[np.uint8]:
    """Return the colors of `count` classes (count, 3)."""
    return np.array([list(bytes.fromhex(_color(number)[1:])) for number in range(count)], np.uint8)
