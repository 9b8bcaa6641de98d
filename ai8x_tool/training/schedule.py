"""Learning-rate schedules from YAML files. spec: training, section 7."""

from __future__ import annotations

import inspect
import warnings
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.optim import lr_scheduler

from ai8x_tool.errors import Ai8xError, nearest


class PolynomialLR(lr_scheduler.LambdaLR):
    """lr = base · (1 − epoch/T_max)^power."""

    def __init__(self, optimizer: torch.optim.Optimizer, T_max: int, power: float) -> None:  # noqa: N803
        super().__init__(optimizer, lambda epoch: max(0.0, 1 - epoch / T_max) ** power)


class MultiStepMultiGammaLR(lr_scheduler.LambdaLR):
    """One factor per milestone; they accumulate."""

    def __init__(self, optimizer: torch.optim.Optimizer, milestones: list[int], gammas: list[float]) -> None:
        if len(milestones) != len(gammas) or sorted(set(milestones)) != list(milestones):
            raise ValueError("milestones must increase, and there must be as many gammas")
        super().__init__(optimizer, lambda epoch: prod(gammas[: bisect_right(milestones, epoch)]))


_OWN = {"PolynomialLR": PolynomialLR, "MultiStepMultiGammaLR": MultiStepMultiGammaLR}
_LEGACY = ("pruners", "regularizers", "quantizers", "extensions", "loss_lr_schedulers")


@dataclass(frozen=True)
class LearningRatePolicy:
    """A scheduler class with its arguments, and the epochs at whose end it takes a step."""

    scheduler: type[lr_scheduler.LRScheduler]
    arguments: Mapping[str, Any]
    epochs: frozenset[int]


class Schedule:
    """The learning-rate policies of a schedule file, at work on one optimizer."""

    def __init__(
        self, policies: list[LearningRatePolicy], optimizer: torch.optim.Optimizer, first_epoch: int = 0
    ) -> None:
        """Start at `first_epoch`: the steps of the epochs before it are taken again from the initial learning rate.

        Thus a resumed run continues with the very numbers of an uninterrupted one, whatever the scheduler.
        """
        for group in optimizer.param_groups if policies else []:
            group["lr"] = group.setdefault("initial_lr", group["lr"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "step() before optimizer.step()" is meant here
            self._running = [(policy.scheduler(optimizer, **policy.arguments), policy.epochs) for policy in policies]
            for epoch in range(first_epoch):
                self.end_epoch(epoch)

    def end_epoch(self, epoch: int) -> None:
        """Advance the learning rate at the end of `epoch`."""
        for scheduler, epochs in self._running:
            if epoch in epochs:
                scheduler.step()


def read_schedule(path: Path) -> list[LearningRatePolicy]:
    """Read a schedule file. Raises Ai8xError naming the file and what is wrong in it."""
    try:
        return _policies(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Ai8xError(f"cannot be read: {' '.join(str(error).split())}", where=str(path)) from None
    except Ai8xError as error:
        raise Ai8xError(str(error), where=str(path)) from None


def _policies(content: Any) -> list[LearningRatePolicy]:
    if not isinstance(content, dict):
        raise Ai8xError("a schedule is a mapping with lr_schedulers and policies")
    for key in content:
        if key in _LEGACY:
            raise Ai8xError(f"{key!r} are not supported", fix="remove the section and its policies")
        if key not in ("lr_schedulers", "policies", "version"):
            raise Ai8xError(f"unknown section {key!r}{nearest(str(key), ['lr_schedulers', 'policies'])}")
    components = {name: _component(name, entry) for name, entry in (content.get("lr_schedulers") or {}).items()}
    return [_policy(entry, components) for entry in content.get("policies") or []]


def _component(name: str, entry: Any) -> tuple[type[lr_scheduler.LRScheduler], dict[str, Any]]:
    if not isinstance(entry, dict) or "class" not in entry:
        raise Ai8xError(f"the scheduler {name!r} has no 'class'")
    arguments = {key: value for key, value in entry.items() if key != "class"}
    kind = str(entry["class"])
    # torch has a PolynomialLR of its own, with other arguments.
    own = _OWN.get(kind) if kind != "PolynomialLR" or "T_max" in arguments else None
    found = own or getattr(lr_scheduler, kind, None)
    if not (inspect.isclass(found) and issubclass(found, lr_scheduler.LRScheduler)) or kind == "ReduceLROnPlateau":
        names = [n for n, c in vars(lr_scheduler).items() if inspect.isclass(c) and n.endswith("LR")] + list(_OWN)
        raise Ai8xError(f"{name!r}: no usable scheduler class {kind!r}{nearest(kind, names)}")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    try:
        found(optimizer, **arguments)
    except (TypeError, ValueError) as error:
        raise Ai8xError(f"{name!r}: {error}") from None
    return found, arguments


def _policy(
    entry: Any, components: Mapping[str, tuple[type[lr_scheduler.LRScheduler], dict[str, Any]]]
) -> LearningRatePolicy:
    reference = entry.get("lr_scheduler") if isinstance(entry, dict) else None
    if not isinstance(reference, dict) or "instance_name" not in reference:
        raise Ai8xError("a policy needs 'lr_scheduler: {instance_name: …}'; other kinds are not supported")
    name = reference["instance_name"]
    if name not in components:
        raise Ai8xError(f"a policy refers to the undefined scheduler {name!r}{nearest(str(name), list(components))}")
    return LearningRatePolicy(*components[name], frozenset(_active_epochs(entry)))


def _active_epochs(entry: Mapping[str, Any]) -> list[int]:
    if "epochs" in entry:
        epochs = entry["epochs"]
        if not isinstance(epochs, list) or not all(isinstance(e, int) for e in epochs):
            raise Ai8xError(f"epochs must be a list of whole numbers, not {epochs!r}")
        return epochs
    keys = ("starting_epoch", "ending_epoch", "frequency")
    for key in keys:
        if not isinstance(entry.get(key), int):
            raise Ai8xError(f"a policy needs either 'epochs' or whole numbers for {', '.join(keys)}; {key} is missing")
    start, end, frequency = (int(entry[key]) for key in keys)
    if not (0 <= start < end and 0 < frequency <= end - start):
        rule = "0 ≤ starting_epoch < ending_epoch and 0 < frequency ≤ their difference"
        raise Ai8xError(f"starting_epoch {start}, ending_epoch {end}, frequency {frequency} must obey {rule}")
    return list(range(start, end, frequency))
