"""Checkpoints of a training run, which other tools can read, and continuation from them."""

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
    from ai8x_tool.training.results import Best
    from ai8x_tool.training.tasks import Task

MEASURED = "measured"
"""Key of the results of the validation after each epoch, which schedulers and the end of a training depend on."""
_OF_ROWS_AND_COLUMNS = ("row_var", "col_var", "variance")
"""State that has another shape than the parameter it belongs to."""


def checkpoint_content(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, arch: str, epoch: int, extras: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of a checkpoint file. `epoch` is the completed one, −1 for an untrained model."""
    return {
        "epoch": epoch,
        "arch": arch,
        "state_dict": OrderedDict((name, value.detach().cpu()) for name, value in model.state_dict().items()),
        "optimizer_state_dict": optimizer.state_dict(),
        "optimizer_type": type(optimizer),
        "compression_sched": {"masks_dict": {name: None for name, _ in model.named_parameters()}},
        "extras": extras,
    }


def result_extras(task: Task, score: Measured | None, best: Best | None) -> dict[str, Any]:
    """Return the results so far. The first keys are those of the reference, which has two metrics."""
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
    """Return what a checkpoint says about the data: names of the classes, how files become inputs, a note."""
    names: dict[str, Any] = {CLASS_NAMES: [str(name) for name in entry.labels]} if task.names_classes else {}
    names |= {DATA_NOTE: entry.note} if entry.note else {}
    return names | ({} if preprocessing is None else {PREPROCESSING: dict(preprocessing)})


def measured_before(checkpoint: Checkpoint | None, epochs: int) -> list[Mapping[str, float] | None]:
    """Return the results of the validation after each of the first `epochs` of a run; None where they are not known."""
    stored = checkpoint.extras.get(MEASURED) if checkpoint else None
    entries: Sequence[Any] = stored if isinstance(stored, list) else []
    known = [entry if _is_result(entry) else None for entry in entries[:epochs]]
    return known + [None] * (epochs - len(known))


def _is_result(entry: Any) -> bool:
    return isinstance(entry, dict) and "loss" in entry and all(isinstance(v, int | float) for v in entry.values())


def serialize(content: dict[str, Any]) -> bytes:
    """Return the bytes of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def restore_optimizer(checkpoint: Checkpoint, model: nn.Module) -> torch.optim.Optimizer | None:
    """Return the stored optimizer over the parameters of `model`, or None if the file has none that fits."""
    reference = checkpoint.content.get("optimizer_type")
    stored = checkpoint.content.get("optimizer_state_dict")
    if not isinstance(reference, ClassReference) or not isinstance(stored, dict):
        return None
    if not reference.module.startswith("torch.optim") or reference.name not in optimizer_names():
        return None
    make: Callable[..., torch.optim.Optimizer] = optimizer_class(reference.name)
    try:
        optimizer = make(model.parameters(), lr=1.0)
    except Exception:  # some take only parameters of certain shapes
        return None
    return optimizer if restored(optimizer, stored) else None


def restored(optimizer: torch.optim.Optimizer, stored: dict[str, Any]) -> bool:
    """Give `optimizer` the state that a checkpoint holds. False if that is no state of its parameters."""
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
    except Exception:  # a file from elsewhere can fail in any way
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
            raise ValueError("the stored state belongs to other parameters")


def tensors(value: Any) -> Any:
    """Turn arrays into tensors, in nested dictionaries and lists."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, dict):
        return {key: tensors(entry) for key, entry in value.items()}
    return [tensors(entry) for entry in value] if isinstance(value, list) else value
