"""Selection of PyTorch optimizers and schedulers by name, with arguments given as text."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import lr_scheduler

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.settings.training import OptimizerSettings

_WITHOUT_NUMBERS = {
    "LBFGS": "it evaluates the loss several times per step",
    "SparseAdam": "it requires sparse gradients",
}
_HERE = ("params", "lr", "optimizer", "last_epoch", "verbose", "self")
"""Parameters that have their own options or do not apply here."""
_TEXTS = {"true": True, "false": False, "none": None, "null": None}
_WITH_MOMENTUM = ("SGD", "RMSprop")


def optimizer_names() -> list[str]:
    """Return the names of the PyTorch optimizers that can be used."""
    found = vars(torch.optim).items()
    kinds = {name for name, kind in found if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)}
    return sorted(kinds - {"Optimizer", *_WITHOUT_NUMBERS})


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """Return a PyTorch optimizer class. Raises Ai8xError for unknown names, with the closest known one."""
    names = optimizer_names()
    same = next((each for each in names if each.lower() == name.lower()), None)
    if same is None:
        if name in _WITHOUT_NUMBERS:
            raise Ai8xError(f"optimizer {name} cannot be used: {_WITHOUT_NUMBERS[name]}", fix="choose AdamW or SGD")
        raise Ai8xError(f"torch.optim has no optimizer {name!r}{nearest(name, names)}", fix=f"use {', '.join(names)}")
    kind: type[torch.optim.Optimizer] = getattr(torch.optim, same)
    return kind


def new_optimizer(
    settings: OptimizerSettings, parameters: Iterable[Tensor], name: str, rate: float
) -> torch.optim.Optimizer:
    """Return a new optimizer. Raises Ai8xError for arguments that it does not accept."""
    kind = optimizer_class(name)
    name = kind.__name__
    what = f"optimizer {name}"
    known = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {"weight_decay": settings.weight_decay} if "weight_decay" in known else {}
    arguments |= {"momentum": settings.momentum} if name in _WITH_MOMENTUM else {}
    arguments |= typed_arguments(kind, settings.optimizer_arguments, what)
    try:
        make: Callable[..., torch.optim.Optimizer] = kind
        return make(parameters, lr=rate, **arguments)
    except Exception as error:  # unexpected values can raise anything
        fix = "correct --optimizer-argument, or choose another optimizer"
        raise Ai8xError(f"{what}: {' '.join(str(error).split())}", fix=fix) from None


def check_optimizer(settings: OptimizerSettings) -> None:
    """Raise Ai8xError if the optimizer of the settings cannot be created; called before anything is loaded."""
    if settings.optimizer is None and settings.optimizer_arguments:
        raise Ai8xError("--optimizer-argument requires the name of the optimizer", fix="add --optimizer NAME")
    if settings.optimizer is not None:
        new_optimizer(settings, [torch.zeros(2, 2, requires_grad=True)], settings.optimizer, 1e-3)


def typed_arguments(kind: Callable[..., Any], texts: Sequence[str], what: str) -> dict[str, Any]:
    """Return the arguments in texts ``name=value`` for a class, converted to the types of their defaults.

    Raises Ai8xError for unknown names, with the closest known one, and for values of other types.
    """
    known = {key: each for key, each in inspect.signature(kind).parameters.items() if key not in _HERE}
    found = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise Ai8xError(f"{what}: argument {text!r} is not of the form name=value")
        if name not in known:
            raise Ai8xError(f"{what} has no argument {name!r}{nearest(name, list(known))}", fix=_listed(known))
        found[name] = _typed(_value(value), known[name].default, f"{what}: {name}")
    return found


def _listed(known: Mapping[str, Any]) -> str:
    return f"it has {', '.join(known)}" if known else "leave it out"


def _value(text: str) -> Any:
    """Return the value that a text denotes: a number, a boolean, a list, or the text itself."""
    if text.lower() in _TEXTS:
        return _TEXTS[text.lower()]
    try:
        value = json.loads(text.replace("(", "[").replace(")", "]"))
    except ValueError:
        return text
    return _value(value) if isinstance(value, str) and value != text else value


def _typed(value: Any, default: Any, what: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool) and not isinstance(value, bool):
        raise Ai8xError(f"{what} must be true or false, not {value!r}")
    if isinstance(default, int | float) and not isinstance(default, bool) and not number:
        raise Ai8xError(f"{what} must be a number such as {default:g}, not {value!r}")
    if isinstance(default, tuple):
        if not (isinstance(value, list) and len(value) == len(default)):
            raise Ai8xError(f"{what} must be {len(default)} numbers such as {list(default)}, not {value!r}")
        return tuple(_typed(each, wanted, what) for each, wanted in zip(value, default, strict=True))
    return value


def scheduler_names() -> list[str]:
    """Return the names of the PyTorch learning-rate schedulers."""
    found = vars(lr_scheduler).items()
    return sorted(name for name, kind in found if inspect.isclass(kind) and issubclass(kind, lr_scheduler.LRScheduler))
