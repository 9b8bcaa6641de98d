"""Object detection: MultiBox loss, non-maximum suppression, mean average precision."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import named_fused_modules
from ai8x_tool.readers.yaml_file import read_plain
from ai8x_tool.resources import find_config
from ai8x_tool.training.example_plots import displayable, plot_boxes
from ai8x_tool.training.metrics import Measured, Meter, Score
from ai8x_tool.training.tasks.base import MetricFormat, Task, TaskContext, spaced
from ai8x_tool.training.tasks.boxes import BACKGROUND, Detections, detect, pad_objects
from ai8x_tool.training.tasks.multibox import MultiBoxLoss

_SECTIONS = {"multi_box_loss": ("alpha", "neg_pos_ratio"), "nms": ("min_score", "max_overlap", "top_k")}


@dataclass(frozen=True)
class DetectionParameters:
    """Parameters of loss and non-maximum suppression, named as in the parameter file."""

    alpha: float
    neg_pos_ratio: float
    min_score: float
    max_overlap: float
    top_k: int


def read_parameters(path: Path) -> DetectionParameters:
    """Read a parameter file. Raises Ai8xError naming a missing or invalid entry."""
    content = read_plain(path)
    values: dict[str, float] = {}
    for section, keys in _SECTIONS.items():
        entries = content.get(section) if isinstance(content, Mapping) else None
        for key in keys:
            value = entries.get(key) if isinstance(entries, Mapping) else None
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise Ai8xError(f"{section} must contain a number {key!r}, not {value!r}", where=str(path))
            values[key] = value
    return DetectionParameters(**{**values, "top_k": int(values["top_k"])})  # type: ignore[arg-type]


class Detection(Task):
    """Detection of boxes and classes of objects, for models with `priors_cxcy`, center boxes (P, 4).

    Such a model returns locations (N, P, 4 + 2K) and scores (N, P, classes), where class 0 is the background.
    """

    name = "detection"
    main_metric = MetricFormat("map", "mAP", 4)
    reference_key = "mAP"
    measures_training = False
    ragged_targets = True

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        chosen = context.settings.obj_detection_params or context.entry.detection
        if chosen is None:
            fix = "pass --obj-detection-params with a file, or default, facedet, own, pascalvoc, qrcode, svhn"
            raise Ai8xError("object detection requires parameters of its loss", fix=fix)
        for package in ("torchmetrics", "pycocotools", "torchvision"):  # torchmetrics requires the others
            if importlib.util.find_spec(package) is None:
                raise Ai8xError(f"object detection requires {package}", fix="pip install 'ai8x-tool[detection]'")
        self.parameters = read_parameters(find_config("detection", chosen, prefix="obj_detection_params"))
        self.scales = (1.0, 1.0)

    def model_arguments(self) -> dict[str, Any]:
        """Return the number of classes, including the background, and the device for the priors."""
        return {"num_classes": len(self.context.entry.labels) + 1, "device": str(self.context.device)}

    def attach(self, model: nn.Module) -> None:
        """Read the priors and the scales of the outputs from the model."""
        priors = getattr(model, "priors_cxcy", None)
        if not isinstance(priors, Tensor) or priors.dim() != 2 or priors.shape[1] != 4:
            missing = f"which {type(model).__name__} does not have"
            raise Ai8xError(f"object detection requires a model with priors_cxcy (P, 4), {missing}")
        self.priors = priors.detach().to(self.context.device, torch.float32)
        self._loss = MultiBoxLoss(self.priors, self.parameters.alpha, self.parameters.neg_pos_ratio)
        if self.context.simulate:
            self.scales = (_scale(model, "are_locations_wide"), _scale(model, "are_scores_wide"))

    def targets(self, target: Any) -> Tensor:
        """Return the objects of a batch, which collate functions represent in different ways.

        Either (boxes, labels) or (boxes, key points, labels) for each image, or lists of boxes, optionally key points,
        and labels, each with one tensor per image.
        """
        if isinstance(target, Tensor):
            return target
        try:
            images = target if _by_image(target) else list(zip(*target, strict=True))
            return pad_objects(images).to(self.context.device)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            raise Ai8xError("targets of object detection must be boxes, optionally key points, and labels") from None

    def real_outputs(self, output: Any) -> tuple[Tensor, Tensor]:
        """Return locations and scores with the priors on the second axis."""
        if isinstance(output, Tensor) or len(output) != 2 or any(part.dim() != 3 for part in output):
            raise Ai8xError("a model for object detection must return locations and scores of all priors")
        locations, scores = (self._priors_first(part) for part in output)
        if self.context.simulate:
            return locations * self.scales[0], scores * self.scales[1]
        return locations, scores

    def _priors_first(self, part: Tensor) -> Tensor:
        count = len(self.priors)
        if part.shape[1] == count:
            return part
        if part.shape[2] == count:
            return part.transpose(1, 2)
        raise Ai8xError(f"the model has {part.shape[1]} locations, but {count} priors")

    def loss(self, output: tuple[Tensor, Tensor], target: Tensor, inputs: Tensor) -> Tensor:
        """Return the MultiBox loss."""
        return self._loss(*output, target)

    def skip(self, target: Tensor) -> str | None:
        """Skip batches without any object."""
        return None if bool((target[..., -1] != BACKGROUND).any()) else "none of its images contains an object"

    def meter(self) -> PrecisionMeter:
        """Return a meter of the mean average precision."""
        return PrecisionMeter(self.detect)

    def detect(self, output: tuple[Tensor, Tensor]) -> list[Detections]:
        """Return the detections in each image of a batch."""
        options = self.parameters
        return detect(
            *output,
            self.priors,
            min_score=options.min_score,
            max_overlap=options.max_overlap,
            top_k=options.top_k,
        )

    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the mean average precision at the end of the pass; computing it earlier would take too long."""
        return {"mAP": meter.metrics()["map"] if last and meter.samples else None}

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by mean average precision, then by loss."""
        return measured.metrics["map"], -measured.loss

    def summary_line(self, measured: Measured) -> str:
        """Return ``==> mAP: 0.77273    Loss: 5.047``."""
        return "==> " + spaced([f"mAP: {measured.metrics['map']:.5f}", f"Loss: {measured.loss:.3f}"])

    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return ``==> Best [mAP: 0.77273   vloss: 5.047   Params: 1234 on epoch: 9]``."""
        items = (f"mAP: {measured.metrics['map']:.5f}", f"vloss: {measured.loss:.3f}", f"Params: {parameters}")
        return f"==> Best [{spaced(items, 3)} on epoch: {epoch}]"

    def draw(self, score: Score, folder: Path, title: str) -> None:
        """Draw some images with their targets and detections."""
        some = score.examples
        if some is None:
            return
        device = self.priors.device
        found = self.detect((some.outputs[0].to(device), some.outputs[1].to(device)))
        plot_boxes(
            [displayable(one) for one in some.inputs.numpy()],
            [one[one[:, -1] != BACKGROUND][:, [0, 1, 2, 3, -1]].numpy() for one in some.targets],
            [torch.cat([one.boxes, one.labels[:, None]], dim=1).cpu().numpy() for one in found],
            folder / "examples.png",
            title,
        )


def _by_image(target: Sequence[Sequence[Tensor]]) -> bool:
    """Return whether the entries are images, not lists of boxes, key points and labels, which end with vectors."""
    return not (len(target) in (2, 3) and all(labels.dim() <= 1 for labels in target[-1]))


def _scale(model: nn.Module, declaration: str) -> float:
    """Return the factor from an output, which the model may declare wide, to real numbers."""
    declared = getattr(model, declaration, None)
    if not (declared() if callable(declared) else declared):
        return 1 / 128
    bits = [int(module.weight_bits) for _, module in named_fused_modules(model) if module.wide]
    return 1 / 128 / 2 ** ((bits[-1] if bits and bits[-1] else 8) - 1)


class PrecisionMeter(Meter):
    """Mean average precision at an overlap of 0.5, as computed by torchmetrics."""

    def __init__(self, find: Any) -> None:
        super().__init__()
        from torchmetrics.detection import MeanAveragePrecision  # noqa: PLC0415  (optional)

        self._find = find
        self._metric = MeanAveragePrecision(box_format="xyxy", iou_type="bbox", iou_thresholds=[0.5])
        self._known: tuple[int, float] = (0, 0.0)

    @torch.no_grad()
    def add(self, output: tuple[Tensor, Tensor], target: Tensor, inputs: Any) -> None:
        """Count one batch."""
        found = self._find(output)
        self.samples += len(found)
        wanted = [objects[objects[:, -1] != BACKGROUND].cpu() for objects in target]
        self._metric.update(
            [{"boxes": d.boxes.cpu(), "scores": d.scores.cpu(), "labels": d.labels.cpu() - 1} for d in found],
            [{"boxes": objects[:, :4], "labels": objects[:, -1].long() - 1} for objects in wanted],
        )

    def metrics(self) -> dict[str, float]:
        """Return the mean average precision; 0 if there are no objects."""
        if self.samples != self._known[0]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about images with many boxes
                self._known = self.samples, max(0.0, float(self._metric.compute()["map_50"]))
        return {"map": self._known[1]}
