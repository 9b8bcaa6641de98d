"""The kinds of learning problems: one class per kind, and the choice among them.

The training loop and the evaluation know the methods of :class:`Task` only.
"""

from __future__ import annotations

from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.tasks.base import BatchLoss, Figure, Task, TaskContext
from ai8x_tool.training.tasks.classification import Classification

TASKS: dict[str, type[Task]] = {task.name: task for task in (Classification,)}


def choose_task(context: TaskContext) -> Task:
    """Return the task that options and data set ask for. Raises Ai8xError where they contradict each other."""
    kind = TASKS[context.entry.task or Classification.name]
    if context.settings.confusion and not kind.has_classes:
        raise Ai8xError(f"--confusion: {kind.name} has no classes to count", fix="leave it out")
    return kind(context)


__all__ = ["TASKS", "BatchLoss", "Figure", "Task", "TaskContext", "choose_task"]
