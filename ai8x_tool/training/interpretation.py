"""Interpretation of outputs that are not class scores: pixel classes, boxes, or numbers in their units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.own.files import KINDS
from ai8x_tool.data.own.images import Fit, fit_of, read_image_and_size
from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.tasks import Task
from ai8x_tool.training.tasks.boxes import detect
from ai8x_tool.training.tasks.detection import Detection
from ai8x_tool.training.tasks.regression import Regression
from ai8x_tool.training.tasks.segmentation import Segmentation

Outputs = Sequence[NDArray[Any]]
"""The outputs for a sample, each (channels, rows, columns), as computed by the accelerator."""
_SHOWN_SCORE = 0.5
_DIGITS = 6


@dataclass(frozen=True)
class ImagePlacement:
    """Placement of a file's image of `rows` × `columns` pixels in the input, whose rows and columns are `size`."""

    size: tuple[int, int]
    fit: Fit
    rows: int
    columns: int

    def pixels(self, corners: Sequence[float]) -> list[int]:
        """Return corners, given as shares (0…1) of the input, in pixels of the file's image."""
        scale = (self.columns / self.fit.columns, self.rows / self.fit.rows)
        start, extent, most = (self.fit.left, self.fit.above), self.size[::-1], (self.columns, self.rows)
        places = [(corner * extent[n % 2] - start[n % 2]) * scale[n % 2] for n, corner in enumerate(corners)]
        return [round(min(max(0.0, place), most[n % 2])) for n, place in enumerate(places)]


def image_placement(path: Path, preprocessing: Any) -> ImagePlacement | None:
    """Return the placement of a file's image in the input; None if the file is not an image."""
    reading = preprocessing.get("reading") if isinstance(preprocessing, Mapping) else None
    if path.suffix.lower() not in KINDS["images"] or not isinstance(reading, Mapping) or "size" not in reading:
        return None
    rows, columns = map(int, reading["size"])
    _, (height, width) = read_image_and_size(path.read_bytes(), 3, (rows, columns))
    return ImagePlacement((rows, columns), fit_of(height, width, (rows, columns)), height, width)


class OutputInterpretation(ABC):
    """Interpretation of outputs, stored as :meth:`document` returns it and restored by :func:`read_interpretation`."""

    kind: str

    def document(self) -> dict[str, Any]:
        """Return plain values to store in the generated project."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    @abstractmethod
    def text(self, outputs: Sequence[Outputs], view: ImagePlacement | None) -> str:
        """Return the result for the samples of a file as text."""


@dataclass(frozen=True)
class PixelInterpretation(OutputInterpretation):
    """A class for each pixel."""

    classes: tuple[str, ...]
    kind = "segmentation"

    def text(self, outputs: Sequence[Outputs], view: ImagePlacement | None) -> str:
        """Return the percentages of the classes."""
        found = Counter(np.stack([each[0].argmax(axis=0) for each in outputs]).ravel().tolist())
        total = sum(found.values())
        shares = (f"{self.classes[number]} {count / total:.1%}" for number, count in found.most_common())
        return f"{', '.join(shares)} of the pixels"


@dataclass(frozen=True)
class NumberInterpretation(OutputInterpretation):
    """Numbers in the units of the dataset: each is its output · `factor` + `offset`."""

    names: tuple[str, ...]
    factor: tuple[float, ...]
    offset: tuple[float, ...]
    kind = "regression"

    def text(self, outputs: Sequence[Outputs], view: ImagePlacement | None) -> str:
        """Return the numbers, averaged if the file has several windows."""
        values = np.stack([each[0].ravel() * np.array(self.factor) + self.offset for each in outputs])
        shown = ", ".join(f"{name} {value:.5g}" for name, value in zip(self.names, values.mean(axis=0), strict=True))
        return shown + (f" (mean of {len(values)} windows)" if len(values) > 1 else "")


@dataclass(frozen=True)
class BoxInterpretation(OutputInterpretation):
    """Detected objects: the first half of the outputs are locations, the others scores, each in the order of `priors`.

    `location_scale` and `score_scale` convert outputs to real numbers.
    """

    classes: tuple[str, ...]
    location_scale: float
    score_scale: float
    max_overlap: float
    top_k: int
    priors: tuple[tuple[float, ...], ...]
    kind = "detection"

    def text(self, outputs: Sequence[Outputs], view: ImagePlacement | None) -> str:
        """Return class, score and box (left, top, right, bottom) of the objects, in pixels if the size is known."""
        return ", ".join(text for each in outputs for text in self._objects(each, view)) or "no object"

    def _objects(self, outputs: Outputs, view: ImagePlacement | None) -> list[str]:
        half = len(outputs) // 2
        locations = self._by_prior(outputs[:half], 4) * self.location_scale
        scores = self._by_prior(outputs[half:], len(self.classes) + 1) * self.score_scale
        (found,) = detect(
            *(locations, scores, torch.tensor(self.priors)),
            min_score=_SHOWN_SCORE,
            max_overlap=self.max_overlap,
            top_k=self.top_k,
        )
        return [
            f"{self.classes[int(label) - 1]} {score:.0%} at {_place(box, view)}"
            for label, score, box in zip(found.labels, found.scores.tolist(), found.boxes.tolist(), strict=True)
        ]

    def _by_prior(self, maps: Outputs, numbers: int) -> Tensor:
        parts = [np.moveaxis(each, 0, 2).reshape(-1, numbers) for each in maps]
        return torch.from_numpy(np.concatenate(parts).astype(np.float32))[None]


def _place(box: Sequence[float], view: ImagePlacement | None) -> str:
    numbers = [f"{corner:.3f}" for corner in box] if view is None else list(map(str, view.pixels(box)))
    return f"({', '.join(numbers)})"


def interpretation_of(task: Task, preprocessing: Mapping[str, Any] | None) -> OutputInterpretation | None:
    """Return the interpretation of a task's 8-bit outputs; None for class scores, and if it is unknown."""
    known, labels = preprocessing or {}, tuple(map(str, task.context.entry.labels))
    if isinstance(task, Segmentation) and "pixels" in known:
        return PixelInterpretation(labels)
    if isinstance(task, Detection):
        priors = [tuple(round(number, _DIGITS) for number in prior) for prior in task.priors.cpu().tolist()]
        options = task.parameters
        return BoxInterpretation(labels, *task.scales, options.max_overlap, options.top_k, tuple(priors))
    if type(task) is Regression and "target" in known:
        scales, offsets = (tuple(map(float, known["target"][key])) for key in ("scale", "offset"))
        return NumberInterpretation(labels, tuple(scale * task.scale for scale in scales), offsets)
    return None


_KINDS: dict[str, type[PixelInterpretation | NumberInterpretation | BoxInterpretation]] = {
    each.kind: each for each in (PixelInterpretation, NumberInterpretation, BoxInterpretation)
}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def read_interpretation(document: Any, where: str) -> OutputInterpretation:
    """Return the interpretation that :meth:`OutputInterpretation.document` stored. Raises Ai8xError otherwise."""
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        found = _KINDS[str(values.pop("kind"))](**values)
        if isinstance(found, BoxInterpretation) and np.array(found.priors, np.float32).shape[1:] != (4,):
            raise ValueError("priors")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fix = "generate the project again with --overwrite"
        raise Ai8xError(f"unknown format of the interpretation of outputs ({error})", where=where, fix=fix) from None
    return found
