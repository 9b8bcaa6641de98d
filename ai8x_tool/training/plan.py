"""Training plan: number of epochs, start of QAT, and the learning rate if no schedule is given.

Values that the user does not choose follow from the amount of data, the number of epochs and the allowed time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import QatPolicy
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.metrics import Measured, as_measured
from ai8x_tool.training.schedule import Schedule

if TYPE_CHECKING:
    from ai8x_tool.training.setup import TrainingSetup

LARGEST_BATCH, SMALLEST_BATCH = 256, 16
_SAMPLES_PER_STEP = 16
"""Batch sizes: small training sets get small batches, so that an epoch has a few dozen steps."""
FLOAT_SHARE = 0.6
"""Share of the epochs before the start of QAT."""
_QAT_COST = 1.7
"""Duration of a QAT epoch relative to a float epoch, until it has been measured."""
_RESERVED = 0.06
"""Share of the allowed time that is reserved for the final tests."""
_FEWEST_EPOCHS = 4
_WARM_UP, _START, _FLOAT_END, _QAT_RATE, _END = 0.2, 0.1, 0.05, 0.15, 0.005
"""Shape of the automatic schedule: share of the float phase with rising rate, and factors of the highest rate."""
_CLEARLY_LESS = 0.98
_PATIENT_SHARE, _FEWEST_PATIENT = 0.4, 8


def automatic_batch(samples: int) -> int:
    """Return the mini-batch size for a number of training samples."""
    exponent = round(math.log2(max(1, samples / _SAMPLES_PER_STEP)))
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, 2**exponent))


def chooses_optimizer(settings: TrainSettings) -> bool:
    """Return whether the tool chooses optimizer and learning rate."""
    return settings.optimizer is None and settings.learning_rate is None and settings.compress is None


def is_automatic(settings: TrainSettings) -> bool:
    """Return whether the tool also chooses the learning-rate schedule."""
    return chooses_optimizer(settings) and settings.scheduler is None


def automatic_policy(epochs: int) -> QatPolicy:
    """Return the default policy: 8 bits, starting after most of the epochs."""
    return QatPolicy(start_epoch=min(epochs - 1, round(FLOAT_SHARE * epochs)), weight_bits=8)


def check_qat_start(policy: QatPolicy | None, epochs: int, where: str) -> None:
    """Raise Ai8xError if QAT would start after the last epoch."""
    if policy is not None and policy.start_epoch >= epochs:
        message = f"QAT starts at epoch {policy.start_epoch}, but the last of {epochs} epochs is epoch {epochs - 1}"
        fix = "increase --epochs, reduce start_epoch in the policy, or use --qat-policy auto or none"
        raise Ai8xError(message, where=where, fix=fix)


@dataclass
class Plan:
    """Number of epochs of a run and the epoch at which QAT starts (None: never); both may change during the run.

    `seconds` is the allowed time, `patience` the number of epochs without progress after which a phase ends.
    """

    epochs: int
    qat_start: int | None
    seconds: float | None = None
    patience: int | None = None
    automatic: bool = False
    _best: tuple[tuple[float, ...], float] | None = None
    _waiting: int = 0
    _durations: list[float] = field(default_factory=list)

    def text(self) -> str:
        """Return the plan as text, such as ``100 epochs, QAT from epoch 80``."""
        return f"{self.epochs} epochs" + ("" if self.qat_start is None else f", QAT from epoch {self.qat_start}")

    def start_qat(self) -> None:
        """Discard the progress of the float phase."""
        self._best, self._waiting, self._durations = None, 0, []

    def after_epoch(self, epoch: int, *, qat: bool, elapsed: float, seconds: float) -> None:
        """Fit the rest of the run into the allowed time; the epoch took `seconds`, the run so far `elapsed` seconds."""
        self._durations.append(seconds)
        if self.seconds is None:
            return
        remaining = self.seconds * (1 - _RESERVED) - elapsed
        typical = sorted(self._durations)[len(self._durations) // 2]
        done = epoch + 1
        if qat or self.qat_start is None:
            self.epochs = max(done, min(self.epochs, done + int(remaining / max(typical, 1e-3))))
            return
        mean = typical * (FLOAT_SHARE + _QAT_COST * (1 - FLOAT_SHARE))
        possible = int((remaining + done * typical) / max(mean, 1e-3))
        if possible < self.epochs:
            self.epochs = max(possible, _FEWEST_EPOCHS, done + 1)
            self.qat_start = max(done, min(self.epochs - 1, round(FLOAT_SHARE * self.epochs)))

    def resume(
        self, measured: Sequence[Mapping[str, float] | None], rank: Callable[[Measured], tuple[float, ...]]
    ) -> None:
        """Apply the results of completed epochs, so that a resumed run continues and ends like an uninterrupted one.

        If some results are unknown, none are applied. If the run had ended, the user requests more epochs: then only
        the number of epochs counts.
        """
        known = [as_measured(results) for results in measured if results is not None]
        if len(known) < len(measured):
            return
        qat, wanted = False, (self.epochs, self.qat_start)
        for epoch, result in enumerate(known):
            if not qat and self.qat_start is not None and epoch >= self.qat_start:
                qat = True
                self.start_qat()
            self.note(result, rank(result), epoch, qat=qat)
        if self.epochs <= len(measured):
            self.epochs, self.qat_start = wanted

    def note(self, measured: Measured, rank: tuple[float, ...], epoch: int, *, qat: bool) -> None:
        """End the phase if it no longer makes progress."""
        loss, patience = measured.loss, self._patience(qat=qat)
        if self._best is None or rank > self._best[0] or loss < _CLEARLY_LESS * self._best[1]:
            best = self._best or (rank, loss)
            self._best, self._waiting = (max(rank, best[0]), min(loss, best[1])), 0
            return
        self._waiting += 1
        if patience is None or self._waiting < patience:
            return
        if qat or self.qat_start is None:
            self.epochs = epoch + 1
        elif self.qat_start > epoch + 1:
            self.epochs -= self.qat_start - (epoch + 1)
            self.qat_start = epoch + 1

    def _patience(self, *, qat: bool) -> int | None:
        if self.patience is not None or not self.automatic:
            return self.patience
        whole = self.epochs - (self.qat_start or 0) if qat or self.qat_start is None else self.qat_start
        return max(_FEWEST_PATIENT, round(_PATIENT_SHARE * whole))

    def factor(self, epoch: int, share: float) -> float:
        """Return the factor of the highest learning rate after a `share` (0…1) of `epoch`: one cycle, then QAT's."""
        start = self.epochs if self.qat_start is None else self.qat_start
        if epoch >= start:
            progress = (epoch - start + share) / max(1, self.epochs - start)
            return _cosine(_QAT_RATE, _END, progress)
        progress = (epoch + share) / start
        if progress < _WARM_UP:
            return _cosine(_START, 1.0, progress / _WARM_UP)
        end = _END if start == self.epochs else _FLOAT_END
        return _cosine(1.0, end, (progress - _WARM_UP) / (1 - _WARM_UP))


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


class PlannedSchedule:
    """Applies the learning rates of a plan; the rate of each parameter group is its highest."""

    def __init__(self, plan: Plan, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._plan = plan
        self._groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group in self._groups:
            group.setdefault("initial_lr", group["lr"])

    @contextmanager
    def epoch(self, epoch: int, steps: int) -> Iterator[Callable[[int], None]]:
        """Yield the function to call before each step (1 to `steps`) of an epoch."""

        def begin(step: int) -> None:
            factor = self._plan.factor(epoch, (step - 1) / steps)
            for group in self._groups:
                group["lr"] = group["initial_lr"] * factor

        begin(1)
        yield begin

    def end_epoch(self, epoch: int, measured: Mapping[str, float] | None) -> None:
        """Do nothing: the rate follows from the epoch."""


def chosen_schedule(setup: TrainingSetup) -> Schedule | PlannedSchedule:
    """Return the schedule of the run: that of the user, else that of the plan."""
    settings, optimizers = setup.settings, setup.task.optimizers
    if setup.plan.automatic:
        return PlannedSchedule(setup.plan, [setup.optimizer, *optimizers])
    return Schedule(
        *(setup.schedule, setup.optimizer, setup.measured),
        loss_optimizers=optimizers,
        warmup_epochs=settings.warmup_epochs,
    )
