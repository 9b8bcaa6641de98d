"""Kinds of learning problems: one class per kind, and the selection of one.

The training loop and the evaluation only use the methods of :class:`Task`.
"""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.training.tasks.base import BatchLoss, MetricFormat, Task, TaskContext
from ai8x_tool.training.tasks.classification import Classification
from ai8x_tool.training.tasks.detection import Detection
from ai8x_tool.training.tasks.distillation import RelationDistillation, SoftTargets
from ai8x_tool.training.tasks.embeddings import Embeddings
from ai8x_tool.training.tasks.multiple_outputs import MultipleOutputs, OutputLoss, read_losses
from ai8x_tool.training.tasks.reconstruction import Reconstruction
from ai8x_tool.training.tasks.regression import Regression
from ai8x_tool.training.tasks.segmentation import Segmentation

_KINDS = (Classification, Segmentation, Regression, Reconstruction, Detection, Embeddings)
TASKS: dict[str, type[Task]] = {task.name: task for task in _KINDS}


def choose_task(context: TaskContext) -> Task:
    """Return the task defined by options and dataset. Raises Ai8xError if they contradict each other."""
    settings, name = context.settings, _name(context)
    losses = _losses(context)
    if losses is not None:
        chosen: Task = MultipleOutputs(context, losses)
    elif settings.kd_relationbased:
        # With a teacher, the class centers of embeddings are not needed.
        chosen = RelationDistillation(context, TASKS[name](replace(context, training=False)))
    else:
        chosen = TASKS[name](context)
    if settings.confusion and not chosen.has_classes:
        raise Ai8xError(f"--confusion: {chosen.name} has no confusion matrix", fix="leave it out")
    if settings.kd_teacher is not None and not settings.kd_relationbased and context.training:
        if name not in (Classification.name, Segmentation.name):
            raise Ai8xError(
                f"{name} has no class probabilities to learn from the teacher", fix="add --kd-relationbased"
            )
        chosen.soft_targets = SoftTargets(context, chosen.model_arguments())
    return chosen


def _losses(context: TaskContext) -> dict[str, OutputLoss] | None:
    """Return the losses of multiple outputs, None for a single output. Options take precedence over the dataset."""
    settings, entry = context.settings, context.entry
    given = settings.losses is not None
    if not given and entry.outputs is None:
        return None
    others = {
        "--regression": settings.regression,
        "--obj-detection": settings.obj_detection,
        "--dr": settings.dr is not None,
        "--kd-teacher": settings.kd_teacher is not None,
    }
    chosen = [name for name, value in others.items() if value]
    if chosen:
        raise Ai8xError(f"{chosen[0]} cannot be combined with losses by output", fix="specify only one of them")
    if given:
        return read_losses(str(settings.losses), "--losses")
    text = ",".join(f"{name}={kind}" for name, kind in (entry.outputs or {}).items())
    return read_losses(text, f"{entry.file or entry.name}: outputs")


def _name(context: TaskContext) -> str:
    """Return the name of the task; options take precedence over the dataset."""
    settings, entry = context.settings, context.entry
    if entry.task is not None and entry.task not in TASKS:
        raise Ai8xError(f"the dataset {entry.name} is for {entry.task!r}{nearest(entry.task, list(TASKS))}")
    declared = entry.task or (Regression.name if len(entry.labels) == 1 else Classification.name)
    if settings.obj_detection:
        return Detection.name
    if settings.dr is not None:
        return Embeddings.name
    if settings.regression and declared != Reconstruction.name:
        return Regression.name
    return declared


__all__ = ["TASKS", "BatchLoss", "MetricFormat", "Task", "TaskContext", "choose_task"]
