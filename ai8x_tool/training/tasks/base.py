"""Interface of a task to the training loop and the evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ai8x_tool.data.folding import unfold
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.build import output_scale
from ai8x_tool.training.metrics import Measured, Meter, Score

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.data.dataset import Dataset, DatasetEntry
    from ai8x_tool.settings.task import TaskSettings
    from ai8x_tool.training.passes import Predict
    from ai8x_tool.training.tasks.distillation import SoftTargets
    from ai8x_tool.training.world import World


@dataclass(frozen=True)
class TaskContext:
    """Context of a task: its options, the dataset (not loaded), the compute device, and the purpose.

    `simulate` means evaluation in integers.
    """

    settings: TaskSettings
    entry: DatasetEntry
    device: torch.device
    console: Console
    simulate: bool = False
    training: bool = False


@dataclass(frozen=True)
class BatchLoss:
    """Loss of a training batch: the task's objective, the sum that is minimized, and components for the log."""

    objective: Tensor
    overall: Tensor
    components: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricFormat:
    """Presentation of a metric: its key, name, digits after the decimal point, and unit."""

    key: str
    name: str
    digits: int
    unit: str = ""

    def text(self, measured: Measured) -> str:
        """Return, for example, ``Top1 91.00 %``."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name} {measured.metrics[self.key]:.{self.digits}f}{unit}"


class Task(ABC):
    """One kind of learning problem: loss, metrics, lines, and what is best.

    Targets are in the dataset's form, inputs and outputs are real numbers (1.0 is 128 steps).
    """

    name: ClassVar[str]
    """Name in a dataset entry."""
    main_metric: ClassVar[MetricFormat]
    """The metric that plots and short messages show."""
    reference_key: ClassVar[str] = "top1"
    """Name of that metric in the ``extras`` of the reference's checkpoints."""
    has_classes: ClassVar[bool] = False
    """Whether there is a confusion matrix."""
    names_classes: ClassVar[bool] = False
    """Whether the outputs of the model belong to the labels of the dataset, one to one."""
    measures_training: ClassVar[bool] = True
    """Whether training batches are measured too, according to ``--show-train-accuracy``."""
    has_final_test: ClassVar[bool] = True
    """Whether training ends with a pass over the test set."""

    ragged_targets: ClassVar[bool] = False
    """Whether processes may have targets of different lengths, to which zeros can be appended."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self._scale = 1.0
        self.optimizers: list[torch.optim.Optimizer] = []
        self.soft_targets: SoftTargets | None = None

    # -- the model --------------------------------------------------------------------------------------------------

    def model_arguments(self) -> dict[str, Any]:
        """Return the model's keyword arguments that depend on the task."""
        return {"num_classes": len(self.context.entry.labels)}

    def attach(self, model: nn.Module) -> None:
        """Prepare for the complete model."""
        self._scale = output_scale(model, self.context.simulate)

    def start_training(self, seed: int, extras: Mapping[str, Any] | None) -> None:  # noqa: B027
        """Create what is trained besides the model; `extras` are those of the checkpoint that is continued."""

    def start_epoch(self, epoch: int) -> None:
        """Prepare for a training epoch."""
        if self.soft_targets is not None:
            self.soft_targets.start_epoch(epoch)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs in addition to the model; :meth:`start_training` takes it."""
        return {}

    @property
    def reads_inputs(self) -> bool:
        """Whether losses or metrics need the inputs of the whole batch, not only its outputs and targets."""
        return self.soft_targets is not None

    @property
    def scale(self) -> float:
        """Factor from the model's outputs to real numbers; not 1 in simulate mode only."""
        return self._scale

    # -- one batch --------------------------------------------------------------------------------------------------

    def targets(self, target: Any) -> Any:
        """Convert the targets of a batch from the dataset's form to that of the other methods."""
        if not isinstance(target, Tensor):
            raise Ai8xError(
                f"a target of the dataset is a {type(target).__name__}, for {self.name} it must be a tensor of numbers"
            )
        return target

    def gathered_targets(self, target: Any, total: int, world: World) -> Any:
        """Return the targets of a batch of `total` samples, of which this process has some."""
        return world.gather(self.targets(target), total, ragged=self.ragged_targets)

    def real_outputs(self, output: Any) -> Any:
        """Convert the model's outputs to those that :meth:`loss` and the meter take."""
        ratio = self.context.settings.out_fold_ratio
        if not isinstance(output, Tensor):
            found = f"the model returns a {type(output).__name__}, for {self.name} it must be one tensor"
            raise Ai8xError(found, fix="return one, or name a loss for each output with --losses")
        if not output.is_floating_point() or output.is_meta:
            kind = "on the device meta" if output.is_meta else f"of {output.dtype}"
            raise Ai8xError(f"the model returns a tensor {kind}, not real numbers", fix="correct its forward()")
        real = output * self._scale if self.context.simulate else output
        return real if ratio == 1 else _unfolded(real, ratio)

    @abstractmethod
    def loss(self, output: Any, target: Any, inputs: Tensor) -> Tensor:
        """Return the loss of a batch."""

    def training_loss(self, output: Any, target: Any, inputs: Tensor) -> BatchLoss:
        """Return the loss of a batch in training, with what is added to it."""
        loss = self.loss(output, target, inputs)
        if self.soft_targets is not None:
            return self.soft_targets.extend(loss, output, inputs)
        return BatchLoss(loss, loss)

    def skip(self, target: Any) -> str | None:
        """Return why an evaluation cannot count a batch; None if it can."""
        return None

    # -- a pass -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def meter(self) -> Meter:
        """Return a meter for one pass."""

    def calibrate(self, data: Dataset, predict: Predict) -> None:  # noqa: B027
        """Learn from the training split what an evaluation needs; `predict(split)` gives batches like the meter's."""

    @abstractmethod
    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the metrics of a progress line; None while unknown. `last` is the line at the end of the pass."""

    @abstractmethod
    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Return the numbers that order results; the largest is best."""

    @abstractmethod
    def summary_line(self, measured: Measured) -> str:
        """Return the line after a pass."""

    @abstractmethod
    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return the line about the best epoch so far; `parameters` are the weights that are not zero."""

    def report(self, score: Score) -> list[str]:
        """Return the lines about a pass that follow the summary line."""
        return []

    def draw(self, score: Score, folder: Path, title: str) -> None:  # noqa: B027
        """Draw the last score of a run into files in `folder`; matplotlib is installed."""


def spaced(items: Sequence[str], gap: int = 4) -> str:
    """Join items as the log lines do."""
    return (" " * gap).join(items)


def _unfolded(maps: Tensor, ratio: int) -> Tensor:
    """Return the outputs of a model that ends in folded maps."""
    if maps.shape[1] % ratio**2:
        message = f"the model has {maps.shape[1]} output channels, not a multiple of {ratio}²"
        raise Ai8xError(message, fix="choose another --out-fold-ratio")
    return unfold(maps, ratio)
