"""Interface of tasks to the training loop and the evaluation."""

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
    """Context of a task: options, dataset (not loaded), compute device, and purpose.

    With `simulate`, the model computes in integers.
    """

    settings: TaskSettings
    entry: DatasetEntry
    device: torch.device
    console: Console
    simulate: bool = False
    training: bool = False


@dataclass(frozen=True)
class BatchLoss:
    """Loss of a training batch: the task's objective, the minimized sum, and components for the log."""

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
    """One kind of learning problem: loss, metrics, log lines, and ranking of results.

    Targets have the form of the dataset; inputs and outputs are real numbers (1.0 is 128 quantization steps).
    """

    name: ClassVar[str]
    """Name of the task in a dataset entry."""
    main_metric: ClassVar[MetricFormat]
    """The metric shown in plots and short messages."""
    reference_key: ClassVar[str] = "top1"
    """Name of that metric in the ``extras`` of the reference tools' checkpoints."""
    has_classes: ClassVar[bool] = False
    """Whether there is a confusion matrix."""
    names_classes: ClassVar[bool] = False
    """Whether the outputs of the model correspond one to one to the labels of the dataset."""
    measures_training: ClassVar[bool] = True
    """Whether metrics of training batches are computed, too, according to ``--show-train-accuracy``."""
    has_final_test: ClassVar[bool] = True
    """Whether training ends with a pass over the test set."""

    ragged_targets: ClassVar[bool] = False
    """Whether targets may differ in length between processes and be padded with zeros."""

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
        """Create what is trained in addition to the model; `extras` are those of the checkpoint of a resumed run."""

    def start_epoch(self, epoch: int) -> None:
        """Prepare for a training epoch."""
        if self.soft_targets is not None:
            self.soft_targets.start_epoch(epoch)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint's ``extras``, from which :meth:`start_training` restores it."""
        return {}

    @property
    def reads_inputs(self) -> bool:
        """Whether losses or metrics need the inputs of the whole batch, in addition to outputs and targets."""
        return self.soft_targets is not None

    @property
    def scale(self) -> float:
        """Factor from the model's outputs to real numbers; other than 1 in simulate mode only."""
        return self._scale

    # -- one batch --------------------------------------------------------------------------------------------------

    def targets(self, target: Any) -> Any:
        """Return the targets of a batch, converted from the form of the dataset to that of the other methods."""
        if not isinstance(target, Tensor):
            raise Ai8xError(
                f"for {self.name}, targets of the dataset must be tensors of numbers, not {type(target).__name__}"
            )
        return target

    def gathered_targets(self, target: Any, total: int, world: World) -> Any:
        """Return the targets of a batch of `total` samples, gathered from all processes."""
        return world.gather(self.targets(target), total, ragged=self.ragged_targets)

    def real_outputs(self, output: Any) -> Any:
        """Return the model's outputs, converted to the form used by :meth:`loss` and the meter."""
        ratio = self.context.settings.out_fold_ratio
        if not isinstance(output, Tensor):
            found = f"for {self.name}, the model must return one tensor, not a {type(output).__name__}"
            raise Ai8xError(found, fix="return one tensor, or specify a loss for each output with --losses")
        if not output.is_floating_point() or output.is_meta:
            kind = "on the device meta" if output.is_meta else f"of {output.dtype}"
            raise Ai8xError(f"the model must return real numbers, not a tensor {kind}", fix="correct its forward()")
        real = output * self._scale if self.context.simulate else output
        return real if ratio == 1 else _unfolded(real, ratio)

    @abstractmethod
    def loss(self, output: Any, target: Any, inputs: Tensor) -> Tensor:
        """Return the loss of a batch."""

    def training_loss(self, output: Any, target: Any, inputs: Tensor) -> BatchLoss:
        """Return the loss of a training batch, including additional terms."""
        loss = self.loss(output, target, inputs)
        if self.soft_targets is not None:
            return self.soft_targets.extend(loss, output, inputs)
        return BatchLoss(loss, loss)

    def skip(self, target: Any) -> str | None:
        """Return the reason why an evaluation must skip a batch; None if it need not."""
        return None

    # -- a pass -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def meter(self) -> Meter:
        """Return a new meter for one pass."""

    def calibrate(self, data: Dataset, predict: Predict) -> None:  # noqa: B027
        """Derive evaluation parameters from the training split; `predict(split)` yields batches like the meter's."""

    @abstractmethod
    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the metrics of a progress line, None while unknown; `last` is True at the end of the pass."""

    @abstractmethod
    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Return the sort key of results; the largest is best."""

    @abstractmethod
    def summary_line(self, measured: Measured) -> str:
        """Return the log line after a pass."""

    @abstractmethod
    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return the log line about the best epoch so far; `parameters` is the number of weights that are not zero."""

    def report(self, score: Score) -> list[str]:
        """Return the log lines that follow the summary line of a pass."""
        return []

    def draw(self, score: Score, folder: Path, title: str) -> None:  # noqa: B027
        """Draw plots of the final score of a run into `folder`; called only if matplotlib is installed."""


def spaced(items: Sequence[str], gap: int = 4) -> str:
    """Return the items joined by `gap` spaces, as in log lines."""
    return (" " * gap).join(items)


def _unfolded(maps: Tensor, ratio: int) -> Tensor:
    """Return the unfolded outputs of a model that ends in folded maps."""
    if maps.shape[1] % ratio**2:
        message = f"the number of output channels must be a multiple of {ratio}², not {maps.shape[1]}"
        raise Ai8xError(message, fix="choose another --out-fold-ratio")
    return unfold(maps, ratio)
