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
from ai8x_tool.settings.training import ScheduleSettings
from ai8x_tool.training.optimizers import scheduler_names, typed_arguments


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
"""Kinds of policies, each with the section of the components that it refers to."""
_MOST_EPOCHS = 100_000
LOSS = "loss"
_SMALL_IS_GOOD = (LOSS, "mse")
"""Endings of the names of results for which smaller is better."""
_FROM_PYTHON = ("LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler")
"""Schedulers whose arguments are not plain values."""
_NUMBERS_OF_EPOCHS = ("T_max", "total_steps")
"""Arguments that default to the number of epochs."""
_POLICIES = ("policies", list, "a list, each entry with an lr_scheduler and its epochs")


@dataclass(frozen=True)
class LearningRatePolicy:
    """A scheduler class with its arguments, and the epochs at the end of which it takes a step.

    With `of_loss` it applies to the parameters of the loss (the class centers of ArcFace), not of the model. `metric`
    is the validation result that a scheduler depends on if it does not depend on the epoch.
    """

    scheduler: type[lr_scheduler.LRScheduler]
    arguments: Mapping[str, Any]
    epochs: frozenset[int]
    of_loss: bool = False
    metric: str = LOSS

    @property
    def follows_results(self) -> bool:
        """Whether the learning rate depends on validation results."""
        return self.scheduler is lr_scheduler.ReduceLROnPlateau


class Schedule:
    """Applies learning-rate policies, optionally preceded by a linear warm-up."""

    def __init__(
        self,
        policies: list[LearningRatePolicy],
        optimizer: torch.optim.Optimizer,
        measured: Sequence[Mapping[str, float] | None] = (),
        *,
        loss_optimizers: Sequence[torch.optim.Optimizer] = (),
        warmup_epochs: int = 0,
    ) -> None:
        """Start after the epochs whose validation results are in `measured`; unknown results are None.

        The steps of these epochs are repeated from the initial learning rate, so that a resumed run continues with
        exactly the learning rates of an uninterrupted one, whatever the scheduler.
        """
        self._optimizer, self._warmup_epochs = optimizer, warmup_epochs
        if any(policy.of_loss for policy in policies) and not loss_optimizers:
            raise Ai8xError(
                "'loss_lr_scheduler' requires a loss with parameters, which this task does not have",
                fix="remove the policy",
            )
        targets = [(policy, loss_optimizers if policy.of_loss else [optimizer]) for policy in policies]
        for group in (group for _, chosen in targets for one in chosen for group in one.param_groups):
            group["lr"] = group.pop("initial_lr", group["lr"])  # schedulers that choose another rate store it again
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # calling step() before optimizer.step() is intended here
            self._running = [
                (policy.scheduler(one, **policy.arguments), policy) for policy, chosen in targets for one in chosen
            ]
            for _, chosen in targets:
                for group in (group for one in chosen for group in one.param_groups):
                    group.setdefault("initial_lr", group["lr"])  # schedulers that depend on results store none
            for epoch, results in enumerate(measured):
                self.end_epoch(epoch, results)

    @contextmanager
    def epoch(self, epoch: int, steps: int) -> Iterator[Callable[[int], None]]:
        """Yield the function to call before each step (1 to `steps`) of an epoch; it applies the warm-up.

        Afterwards the optimizer has the scheduled learning rate again: checkpoints do not depend on the warm-up.
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

    def end_epoch(self, epoch: int, measured: Mapping[str, float] | None = None) -> None:
        """Update the learning rate at the end of `epoch`, whose validation results are `measured`."""
        for scheduler, policy in self._running:
            if epoch not in policy.epochs:
                continue
            if not policy.follows_results:
                scheduler.step()
            elif measured is not None:
                scheduler.step(_result(measured, policy.metric))  # type: ignore[arg-type]  # of this class only


def _result(measured: Mapping[str, float], metric: str) -> float:
    """Return a validation result by name. Raises Ai8xError for unknown names, with the closest known one."""
    if metric not in measured:
        fix = f"use {', '.join(measured)}"
        raise Ai8xError(f"the validation has no result {metric!r}{nearest(metric, list(measured))}", fix=fix)
    return measured[metric]


def named_schedule(settings: ScheduleSettings, epochs: int, metrics: Sequence[str]) -> list[LearningRatePolicy]:
    """Return the policies for the scheduler of the settings; empty without one.

    `metrics` are the names of the validation results. Raises Ai8xError for names and arguments unknown to PyTorch.
    """
    if settings.scheduler is None:
        return []
    kind, what = _scheduler_class(settings.scheduler), f"scheduler {settings.scheduler}"
    arguments = typed_arguments(kind, settings.scheduler_arguments, what)
    parameters = inspect.signature(kind).parameters
    arguments = {name: epochs for name in _NUMBERS_OF_EPOCHS if name in parameters} | arguments
    metric = settings.scheduler_metric
    _result(dict.fromkeys(metrics, 0.0), metric)
    if kind is lr_scheduler.ReduceLROnPlateau:
        arguments = {"mode": _mode(metric)} | arguments
    _rehearse(what, kind, arguments, epochs, quoted=False)
    return [LearningRatePolicy(kind, arguments, frozenset(range(epochs)), metric=metric)]


def _mode(metric: str) -> str:
    return "min" if metric.endswith(_SMALL_IS_GOOD) else "max"


def read_schedule(path: Path) -> list[LearningRatePolicy]:
    """Read a schedule file. Raises Ai8xError naming the file and the invalid entry."""
    content = read_plain(path)
    try:
        return _policies(content)
    except Ai8xError as error:
        raise Ai8xError(str(error), where=str(path)) from None


def _policies(content: Any) -> list[LearningRatePolicy]:
    if not isinstance(content, dict):
        raise Ai8xError("a schedule must be a mapping with lr_schedulers and policies")
    for key in content:
        if key in _LEGACY:
            raise Ai8xError(f"{key!r} are not supported", fix="remove the section and its policies")
        known = [*_SECTIONS.values(), "policies", "version"]
        if key not in known:
            raise Ai8xError(f"unknown section {key!r}{nearest(str(key), known)}")
    for key, kind, words in (*((s, dict, "a mapping of names to schedulers") for s in _SECTIONS.values()), _POLICIES):
        if not isinstance(content.get(key) or kind(), kind):
            raise Ai8xError(f"{key!r} must be {words}")
    components = {
        kind: {name: _component(name, entry) for name, entry in (content.get(section) or {}).items()}
        for kind, section in _SECTIONS.items()
    }
    return [_policy(entry, components) for entry in content.get("policies") or []]


def _component(name: str, entry: Any) -> tuple[type[lr_scheduler.LRScheduler], dict[str, Any], str]:
    if not isinstance(entry, dict) or "class" not in entry:
        raise Ai8xError(f"the scheduler {name!r} must have a 'class'")
    arguments = {key: value for key, value in entry.items() if key not in ("class", "metric")}
    kind = str(entry["class"])
    # PyTorch's own PolynomialLR has other arguments.
    own = _OWN.get(kind) if kind != "PolynomialLR" or "T_max" in arguments else None
    found = own or getattr(lr_scheduler, kind, None)
    if not (inspect.isclass(found) and issubclass(found, lr_scheduler.LRScheduler)):
        names = [*scheduler_names(), *_OWN]
        raise Ai8xError(f"{name!r}: unknown or unsupported scheduler class {kind!r}{nearest(kind, names)}")
    if found is lr_scheduler.ReduceLROnPlateau:
        arguments = {"mode": _mode(str(entry.get("metric", LOSS)))} | arguments
    for key in ("optimizer", "last_epoch"):
        if key in arguments:
            raise Ai8xError(f"{name!r}: {key!r} must not be given", fix="remove it")
    _rehearse(name, found, arguments, 0)
    return found, arguments, str(entry.get("metric", LOSS))


def _scheduler_class(name: str) -> type[lr_scheduler.LRScheduler]:
    """Return a PyTorch scheduler class. Raises Ai8xError for unknown names, with the closest known one."""
    names = [each for each in scheduler_names() if each not in _FROM_PYTHON]
    same = next((each for each in names if each.lower() == name.lower()), None)
    if name in _FROM_PYTHON:
        raise Ai8xError(
            f"scheduler {name} takes functions or schedulers as arguments", fix="write a schedule file (--compress)"
        )
    if same is None:
        message = f"torch.optim.lr_scheduler has no scheduler {name!r}{nearest(name, names)}"
        raise Ai8xError(message, fix=f"use {', '.join(names)}")
    kind: type[lr_scheduler.LRScheduler] = getattr(lr_scheduler, same)
    return kind


def _rehearse(
    name: str, kind: type[lr_scheduler.LRScheduler], arguments: Mapping[str, Any], steps: int, *, quoted: bool = True
) -> None:
    """Take all steps of a training run in advance, to detect unsuitable arguments before it starts."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            scheduler: Any = kind(optimizer, **arguments)
            given = [1.0] if kind is lr_scheduler.ReduceLROnPlateau else []
            for _ in range(steps):
                scheduler.step(*given)
    except Exception as error:  # unexpected arguments can raise anything
        raise Ai8xError(f"{repr(name) if quoted else name}: {' '.join(str(error).split())}") from None


_Components = Mapping[str, Mapping[str, tuple[type[lr_scheduler.LRScheduler], dict[str, Any], str]]]


def _policy(entry: Any, components: _Components) -> LearningRatePolicy:
    kind = next((kind for kind in _SECTIONS if isinstance(entry, dict) and kind in entry), None)
    reference = None if kind is None else entry[kind]
    if kind is None or not isinstance(reference, dict) or "instance_name" not in reference:
        raise Ai8xError("a policy must contain 'lr_scheduler: {instance_name: …}'; other kinds are not supported")
    name, known = str(reference["instance_name"]), components[kind]
    if name not in known:
        raise Ai8xError(f"a policy refers to the undefined scheduler {name!r}{nearest(name, list(known))}")
    epochs = frozenset(_active_epochs(entry))
    scheduler, arguments, metric = known[name]
    _rehearse(name, scheduler, arguments, len(epochs))
    return LearningRatePolicy(scheduler, arguments, epochs, kind == "loss_lr_scheduler", metric)


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
        raise Ai8xError(f"starting_epoch {start}, ending_epoch {end}, frequency {frequency} must satisfy {rule}")
    return list(range(start, end, frequency))
