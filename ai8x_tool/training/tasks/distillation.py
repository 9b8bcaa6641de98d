"""Knowledge distillation from a teacher's class probabilities or outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import is_plain
from ai8x_tool.model.build import build_model, check_architecture, load_weights
from ai8x_tool.training.metrics import Measured, Meter, mean
from ai8x_tool.training.tasks.base import BatchLoss, MetricFormat, Task, TaskContext
from ai8x_tool.training.tasks.regression import shaped_like


class Teacher:
    """A trained model in evaluation mode whose outputs the student learns."""

    def __init__(self, context: TaskContext, arguments: dict[str, Any]) -> None:
        settings = context.settings
        if settings.kd_teacher is None or settings.kd_resume is None:
            raise Ai8xError(
                "knowledge distillation needs a trained teacher checkpoint", fix="pass --kd-teacher and --kd-resume"
            )
        checkpoint = read_checkpoint(settings.kd_resume)
        check_architecture(settings.kd_teacher, checkpoint)
        if checkpoint.is_quantized:
            fix = "use the checkpoint from which it was quantized"
            raise Ai8xError("the checkpoint of the teacher must not be quantized", where=str(checkpoint.path), fix=fix)
        options: dict[str, Any] = {
            "device": settings.device,
            "use_bias": settings.use_bias,
            "round_avg": settings.avg_pool_rounding,
            "arguments": arguments,
            "measured_ranges": checkpoint.measured_ranges,
        }
        model = build_model(settings.kd_teacher, context.entry, **options, convert=False)
        if is_plain(model) and not checkpoint.state.keys() >= model.state_dict().keys():  # it is fused
            model = build_model(settings.kd_teacher, context.entry, **options)
        load_weights(model, checkpoint, context.console)
        self._model = model.to(context.device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the teacher's outputs for inputs in real numbers."""
        answers: Tensor = self._model(inputs)
        return answers


class SoftTargets:
    """Adds the divergence from the teacher's softened class probabilities to a loss, from ``--kd-start-epoch`` on."""

    def __init__(self, context: TaskContext, arguments: dict[str, Any]) -> None:
        self._settings = context.settings
        self._teacher = Teacher(context, arguments)
        self._active = False

    def start_epoch(self, epoch: int) -> None:
        """Determine whether the teacher is used in `epoch`."""
        self._active = epoch >= self._settings.kd_start_epoch

    def extend(self, loss: Tensor, output: Tensor, inputs: Tensor) -> BatchLoss:
        """Return the task's `loss` combined with the divergence from the teacher."""
        if not self._active:
            return BatchLoss(loss, loss)
        settings = self._settings
        divergence = soft_divergence(output, self._teacher(inputs), settings.kd_temperature)
        part = settings.kd_distill_wt * settings.kd_temperature**2 * divergence
        if settings.kd_student_wt == 0:
            return BatchLoss(torch.zeros_like(part), part, {"Distill Loss": divergence})
        return BatchLoss(loss, settings.kd_student_wt * loss + part, {"Distill Loss": divergence})


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return Σ p·(log p − log q) per sample, with p and q the softened probabilities of teacher and student."""
    wanted = (shaped_like(teacher, student) / temperature).log_softmax(dim=1)
    found = (student / temperature).log_softmax(dim=1)
    return (wanted.exp() * (wanted - found)).sum() / len(student)


class RelationDistillation(Task):
    """The teacher's outputs are the targets; the loss of an inner task may be added."""

    name = "relation-based distillation"
    main_metric = MetricFormat("overall_loss", "Overall Loss", 5)
    measures_training = False

    def __init__(self, context: TaskContext, inner: Task) -> None:
        super().__init__(context)
        self._inner = inner
        self._teacher = Teacher(context, inner.model_arguments())

    @property
    def reads_inputs(self) -> bool:
        """True: the teacher needs the inputs."""
        return True

    def model_arguments(self) -> dict[str, Any]:
        """Return the arguments of the inner task."""
        return self._inner.model_arguments()

    def targets(self, target: Any) -> Any:
        """Return the targets in the form of the inner task, unchanged if it has no weight."""
        return target if self.context.settings.kd_student_wt == 0 else self._inner.targets(target)

    def loss(self, output: Tensor, target: Any, inputs: Tensor) -> Tensor:
        """Return the loss of the inner task; 0 if it has no weight."""
        if self.context.settings.kd_student_wt == 0:
            return output.new_zeros(())
        return self._inner.loss(output, target, inputs)

    def training_loss(self, output: Tensor, target: Any, inputs: Tensor) -> BatchLoss:
        """Return the inner task's loss, and its weighted sum with the distance to the teacher."""
        settings = self.context.settings
        objective = self.loss(output, target, inputs)
        distance = mse_loss(output, shaped_like(self._teacher(inputs), output))
        return BatchLoss(objective, settings.kd_student_wt * objective + settings.kd_distill_wt * distance)

    def meter(self) -> OverallLossMeter:
        """Return a meter of the overall loss."""
        return OverallLossMeter(self)

    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the overall loss."""
        return {"Overall Loss": meter.metrics()["overall_loss"]}

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by the overall loss; the smallest is best."""
        return (-measured.metrics["overall_loss"],)

    def summary_line(self, measured: Measured) -> str:
        """Return ``==> Overall Loss: 0.014``."""
        return f"==> Overall Loss: {measured.metrics['overall_loss']:.3f}"

    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return ``==> Best [Overall Loss: 0.014 on epoch: 9]``."""
        return f"==> Best [Overall Loss: {measured.metrics['overall_loss']:.3f} on epoch: {epoch}]"


class OverallLossMeter(Meter):
    """Mean of the overall losses of batches."""

    def __init__(self, task: RelationDistillation) -> None:
        super().__init__()
        self._task = task
        self._overall: list[float] = []

    @torch.no_grad()
    def add(self, output: Tensor, target: Any, inputs: Tensor) -> None:
        """Count one batch."""
        self.samples += len(output)
        self._overall.append(float(self._task.training_loss(output, target, inputs).overall))

    def metrics(self) -> dict[str, float]:
        """Return the mean."""
        return {"overall_loss": mean(self._overall)}
