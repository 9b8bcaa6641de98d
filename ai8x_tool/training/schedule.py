"""Learning-rate schedules from YAML files."""

from __future__ import annotations

import inspect
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch.optim import lr_scheduler

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.readers.yaml_file import read_plain


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
_LEGACY = ("pruners", "regularizers", "quantizers", "extensions")
_SECTIONS = {"lr_scheduler": "lr_schedulers", "loss_lr_scheduler": "loss_lr_schedulers"}
"""Kinds of policies, and the sections with the components that they refer to."""
_MOST_EPOCHS = 100_000
_POLICIES = ("policies", list, "a list, each entry with an lr_scheduler and its epochs")


@dataclass(frozen=True)
class LearningRatePolicy:
    """A scheduler class with its arguments, and the epochs at whose end it takes a step.

    With `of_loss` it is for parameters of the loss (the class centres of ArcFace), not for the model.
    """

    scheduler: type[lr_scheduler.LRScheduler]
    arguments: Mapping[str, Any]
    epochs: frozenset[int]
    of_loss: bool = False


class Schedule:
    """Applies the learning-rate policies of a schedule file, and a linear warm-up that may precede them."""

    def __init__(
        self,
        policies: list[LearningRatePolicy],
        optimizer: torch.optim.Optimizer,
        first_epoch: int = 0,
        *,
        loss_optimizers: Sequence[torch.optim.Optimizer] = (),
        warmup_epochs: int = 0,
    ) -> None:
        """Start at `first_epoch`: the steps of the epochs before it are taken again from the initial learning rate.

        A resumed run therefore continues with exactly the numbers of an uninterrupted one, whatever the scheduler.
        """
        self._optimizer, self._warmup_epochs = optimizer, warmup_epochs
        if any(policy.of_loss for policy in policies) and not loss_optimizers:
            raise Ai8xError("'loss_lr_scheduler': the loss of this task has no parameters", fix="leave the policy out")
        targets = [(policy, loss_optimizers if policy.of_loss else [optimizer]) for policy in policies]
        for group in (group for _, chosen in targets for one in chosen for group in one.param_groups):
            group["lr"] = group.pop("initial_lr", group["lr"])  # schedulers that choose another one store it again
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "step() before optimizer.step()" is meant here
            self._running = [
                (policy.scheduler(one, **policy.arguments), policy.epochs)
                for policy, chosen in targets
                for one in chosen
            ]
            for epoch in range(first_epoch):
                self.end_epoch(epoch)

    @contextmanager
    def epoch(self, epoch: int, steps: int) -> Iterator[Callable[[int], None]]:
        """Yield the function to call before each step (1 to `steps`) of an epoch; it warms up in the first epochs.

        Afterwards the optimizer has the scheduled learning rate again, so that checkpoints do not depend on warming up.
        """
        groups = self._optimizer.param_groups
        scheduled = [group["lr"] for group in groups]

        def begin(step: int) -> None:
            if epoch < self._warmup_epochs:
                for group, rate in zip(groups, scheduled, strict=True):
                    group["lr"] = rate * (epoch + step / steps) / self._warmup_epochs

        yield begin
        for group, rate in zip(groups, scheduled, strict=True):
            group["lr"] = rate

    def end_epoch(self, epoch: int) -> None:
        """Advance the learning rate at the end of `epoch`."""
        for scheduler, epochs in self._running:
            if epoch in epochs:
                scheduler.step()


def read_schedule(path: Path) -> list[LearningRatePolicy]:
    """Read a schedule file. Raises Ai8xError naming the file and what is wrong in it."""
    content = read_plain(path)
    try:
        return _policies(content)
    except Ai8xError as error:
        raise Ai8xError(str(error), where=str(path)) from None


def _policies(content: Any) -> list[LearningRatePolicy]:
    if not isinstance(content, dict):
        raise Ai8xError("a schedule is a mapping with lr_schedulers and policies")
    for key in content:
        if key in _LEGACY:
            raise Ai8xError(f"{key!r} are not supported", fix="remove the section and its policies")
        known = [*_SECTIONS.values(), "policies", "version"]
        if key not in known:
            raise Ai8xError(f"unknown section {key!r}{nearest(str(key), known)}")
    for key, kind, words in (*((s, dict, "a mapping of schedulers") for s in _SECTIONS.values()), _POLICIES):
        if not isinstance(content.get(key) or kind(), kind):
            raise Ai8xError(f"{key!r} must be {words}")
    components = {
        kind: {name: _component(name, entry) for name, entry in (content.get(section) or {}).items()}
        for kind, section in _SECTIONS.items()
    }
    return [_policy(entry, components) for entry in content.get("policies") or []]


def _component(name: str, entry: Any) -> tuple[type[lr_scheduler.LRScheduler], dict[str, Any]]:
    if not isinstance(entry, dict) or "class" not in entry:
        raise Ai8xError(f"the scheduler {name!r} has no 'class'")
    arguments = {key: value for key, value in entry.items() if key != "class"}
    kind = str(entry["class"])
    # torch has a PolynomialLR of its own, with other arguments.
    own = _OWN.get(kind) if kind != "PolynomialLR" or "T_max" in arguments else None
    found = own or getattr(lr_scheduler, kind, None)
    if kind == "ReduceLROnPlateau":
        raise Ai8xError(
            f"{name!r}: ReduceLROnPlateau needs a metric, which schedules are not given", fix="use MultiStepLR"
        )
    if not (inspect.isclass(found) and issubclass(found, lr_scheduler.LRScheduler)):
        names = [n for n, c in vars(lr_scheduler).items() if inspect.isclass(c) and n.endswith("LR")] + list(_OWN)
        raise Ai8xError(f"{name!r}: no usable scheduler class {kind!r}{nearest(kind, names)}")
    for key in ("optimizer", "last_epoch"):
        if key in arguments:
            raise Ai8xError(f"{name!r}: {key!r} must not be given", fix="remove it")
    _rehearse(name, found, arguments, 0)
    return found, arguments


def _rehearse(name: str, kind: type[lr_scheduler.LRScheduler], arguments: Mapping[str, Any], steps: int) -> None:
    """Take the steps of a training run, so that unsuitable arguments are found before it starts."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            scheduler = kind(optimizer, **arguments)
            for _ in range(steps):
                scheduler.step()
    except Exception as error:  # whatever the scheduler makes of arguments it did not expect
        raise Ai8xError(f"{name!r}: {' '.join(str(error).split())}") from None


_Components = Mapping[str, Mapping[str, tuple[type[lr_scheduler.LRScheduler], dict[str, Any]]]]


def _policy(entry: Any, components: _Components) -> LearningRatePolicy:
    kind = next((kind for kind in _SECTIONS if isinstance(entry, dict) and kind in entry), None)
    reference = None if kind is None else entry[kind]
    if kind is None or not isinstance(reference, dict) or "instance_name" not in reference:
        raise Ai8xError("a policy needs 'lr_scheduler: {instance_name: …}'; other kinds are not supported")
    name, known = str(reference["instance_name"]), components[kind]
    if name not in known:
        raise Ai8xError(f"a policy refers to the undefined scheduler {name!r}{nearest(name, list(known))}")
    epochs = frozenset(_active_epochs(entry))
    _rehearse(name, *known[name], len(epochs))
    return LearningRatePolicy(*known[name], epochs, kind == "loss_lr_scheduler")


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
    if not (0 <= start < end <= _MOST_EPOCHS and 0 < frequency <= end - start):
        rule = f"0 ≤ starting_epoch < ending_epoch ≤ {_MOST_EPOCHS:,} and 0 < frequency ≤ their difference"
        raise Ai8xError(f"starting_epoch {start}, ending_epoch {end}, frequency {frequency} must obey {rule}")
    return list(range(start, end, frequency))
