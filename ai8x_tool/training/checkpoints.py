"""Checkpoints of a training run, in a format that other tools can read, and resuming from them."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool.checkpoint import CLASS_NAMES, DATA_NOTE, PREPROCESSING, Checkpoint, ClassReference
from ai8x_tool.training.optimizers import optimizer_class, optimizer_names

if TYPE_CHECKING:
    from ai8x_tool.data.dataset import DatasetEntry
    from ai8x_tool.training.metrics import Measured
    from ai8x_tool.training.results import BestEpoch
    from ai8x_tool.training.tasks import Task

MEASURED = "measured"
"""Key of the validation results of each epoch, on which schedulers and early stopping depend."""
_OF_ROWS_AND_COLUMNS = ("row_var", "col_var", "variance")
"""Entries of an optimizer's state that differ in shape from their parameter."""


def checkpoint_content(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, arch: str, epoch: int, extras: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of a checkpoint file. `epoch` is the last completed one, −1 for an untrained model."""
    return {
        "epoch": epoch,
        "arch": arch,
        "state_dict": OrderedDict((name, value.detach().cpu()) for name, value in model.state_dict().items()),
        "optimizer_state_dict": optimizer.state_dict(),
        "optimizer_type": type(optimizer),
        "compression_sched": {"masks_dict": {name: None for name, _ in model.named_parameters()}},
        "extras": extras,
    }


def result_extras(task: Task, score: Measured | None, best: BestEpoch | None) -> dict[str, Any]:
    """Return the results so far for a checkpoint's ``extras``. The first keys are those of the reference tools."""
    key = task.main_metric.key
    reference = {"current_top1": 0, "best_top1": 0, "current_mAP": 0, "best_mAP": 0}
    return reference | {
        f"current_{task.reference_key}": score.metrics[key] if score else 0.0,
        f"best_{task.reference_key}": best.metrics[key] if best else 0.0,
        "best_epoch": best.epoch if best else 0,
        "best_loss": best.loss if best else 0.0,
        "best_metrics": dict(best.metrics) if best else {},
    }


def described_data(entry: DatasetEntry, task: Task, preprocessing: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a checkpoint's information about the data: class names, preprocessing of files, and a note."""
    names: dict[str, Any] = {CLASS_NAMES: [str(name) for name in entry.labels]} if task.names_classes else {}
    names |= {DATA_NOTE: entry.note} if entry.note else {}
    return names | ({} if preprocessing is None else {PREPROCESSING: dict(preprocessing)})


def measured_before(checkpoint: Checkpoint | None, epochs: int) -> list[Mapping[str, float] | None]:
    """Return the validation results of the first `epochs` epochs of a run; None for unknown ones."""
    stored = checkpoint.extras.get(MEASURED) if checkpoint else None
    entries: Sequence[Any] = stored if isinstance(stored, list) else []
    known = [entry if _is_result(entry) else None for entry in entries[:epochs]]
    return known + [None] * (epochs - len(known))


def _is_result(entry: Any) -> bool:
    return isinstance(entry, dict) and "loss" in entry and all(isinstance(v, int | float) for v in entry.values())


def serialize(content: dict[str, Any]) -> bytes:
    """Return `content` as the bytes of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def restore_optimizer(checkpoint: Checkpoint, model: nn.Module) -> torch.optim.Optimizer | None:
    """Return the stored optimizer for the parameters of `model`, or None if the file has none that fits."""
    reference = checkpoint.content.get("optimizer_type")
    stored = checkpoint.content.get("optimizer_state_dict")
    if not isinstance(reference, ClassReference) or not isinstance(stored, dict):
        return None
    if not reference.module.startswith("torch.optim") or reference.name not in optimizer_names():
        return None
    make: Callable[..., torch.optim.Optimizer] = optimizer_class(reference.name)
    try:
        optimizer = make(model.parameters(), lr=1.0)
    except Exception:  # some accept only parameters of certain shapes
        return None
    return optimizer if restore_state(optimizer, stored) else None


def restore_state(optimizer: torch.optim.Optimizer, stored: dict[str, Any]) -> bool:
    """Load the state of a checkpoint into `optimizer`; return False if it does not belong to its parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    copies = [torch.zeros_like(each).requires_grad_(each.requires_grad) for each in parameters]
    trial = type(optimizer)(copies, lr=1.0)  # type: ignore[call-arg]
    try:
        trial.load_state_dict(tensors(stored))
        for parameter, state in trial.state.items():
            _check_state(parameter, state)
        for parameter in copies:
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        trial.step()
        optimizer.load_state_dict(tensors(stored))
    except Exception:  # a file from another source can fail in any way
        return False
    return True


def _check_state(parameter: Tensor, state: dict[str, Any]) -> None:
    for name, value in state.items():
        if (
            name not in _OF_ROWS_AND_COLUMNS
            and isinstance(value, Tensor)
            and value.dim() > 0
            and value.shape != parameter.shape
        ):
            raise ValueError("the stored state does not belong to these parameters")


def tensors(value: Any) -> Any:
    """Return `value` with arrays converted to tensors, in nested dictionaries and lists."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, dict):
        return {key: tensors(entry) for key, entry in value.items()}
    return [tensors(entry) for entry in value] if isinstance(value, list) else value
