"""Models with multiple outputs: each has a named loss; the weighted sum is minimized."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.model.build import output_scales
from ai8x_tool.text import counted
from ai8x_tool.training.metrics import Measured, Meter
from ai8x_tool.training.tasks.base import BatchLoss, MetricFormat, Task, TaskContext, spaced
from ai8x_tool.training.tasks.classification import Classification
from ai8x_tool.training.tasks.regression import Regression

_KINDS: dict[str, type[Classification | Regression]] = {kind.name: kind for kind in (Classification, Regression)}
_FORM = "write NAME=KIND or NAME=KIND*WEIGHT for each output, separated by commas"
Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class OutputLoss:
    """The loss of one output: its kind, and its weight in the sum."""

    kind: str
    weight: float


def read_losses(text: str, where: str = "losses") -> dict[str, OutputLoss]:
    """Read ``shape=classification,angle=regression*0.5``. Raises Ai8xError for anything else."""
    losses = {}
    for item in text.split(","):
        name, equals, rest = (part.strip() for part in item.partition("="))
        kind, _, weight = (part.strip() for part in rest.partition("*"))
        if not name or not equals or name in losses:
            raise Ai8xError(f"{item.strip()!r} does not specify the loss of an output", where=where, fix=_FORM)
        if kind not in _KINDS:
            hint = nearest(kind, list(_KINDS)) or f"; known: {', '.join(_KINDS)}"
            raise Ai8xError(f"unknown loss {kind!r}{hint}", where=where)
        losses[name] = OutputLoss(kind, _weight(weight, where))
    return losses


def _weight(text: str, where: str) -> float:
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise Ai8xError(
            f"the weight of a loss must be a positive number, not {text!r}",
            where=where,
            fix="for example angle=regression*0.5",
        )
    return weight


class MultipleOutputsMeter(Meter):
    """A meter for each output, and the mean of the weighted sum of the losses."""

    def __init__(self, task: MultipleOutputs) -> None:
        super().__init__()
        self._task = task
        self._meters = {name: part.meter() for name, part in task.parts.items()}
        self._sums: list[float] = []

    @torch.no_grad()
    def add(self, output: Outputs, target: Tensor, inputs: Any) -> None:
        """Count one batch."""
        columns = self._task.columns(output, target)
        self.samples += len(target)
        self._sums.append(float(self._task.loss(output, target, inputs)))
        for name, meter in self._meters.items():
            meter.add(output[name], columns[name], inputs)

    def metrics(self) -> dict[str, float]:
        """Return the metrics of each output as ``<output>_<metric>``, and the sum of the losses."""
        own = {"sum": sum(self._sums) / max(1, len(self._sums))}
        parts = {f"{name}_{key}": value for name, m in self._meters.items() for key, value in m.metrics().items()}
        return own | parts


class MultipleOutputs(Task):
    """Multiple outputs, each with its own loss.

    The model returns a dictionary of tensors by name, or a tuple in the order of the losses. Targets are rows of
    numbers (N, K): one class number per classification, and as many numbers as the output has per regression.
    """

    name = "several outputs"
    main_metric = MetricFormat("sum", "Loss", 5)

    def __init__(self, context: TaskContext, losses: Mapping[str, OutputLoss]) -> None:
        super().__init__(context)
        self.losses = losses
        alone = replace(context, settings=replace(context.settings, out_fold_ratio=1))
        self.parts = {name: _KINDS[loss.kind](alone) for name, loss in losses.items()}
        self._scales: dict[str, float] = dict.fromkeys(losses, 1.0)
        if context.settings.out_fold_ratio != 1:
            raise Ai8xError("--out-fold-ratio is for models with one output", fix="leave it out")

    def attach(self, model: nn.Module) -> None:
        """Determine the scale of each output."""
        if self.context.simulate:
            device = next(model.parameters()).device
            scales = output_scales(model, torch.zeros(1, *self.context.entry.sample, device=device))
            self._scales = dict(zip(self.losses, self._ordered(scales), strict=True))

    def _ordered(self, outputs: Any) -> list[Any]:
        """Return outputs in the order of the losses. Raises Ai8xError if they do not match."""
        names = list(self.losses)
        if isinstance(outputs, Mapping):
            if set(outputs) != set(names):
                found = ", ".join(map(str, outputs)) or "none"
                raise Ai8xError(
                    f"the model has the outputs {found}, but losses are specified for {', '.join(names)}", fix=_FORM
                )
            return [outputs[name] for name in names]
        several = list(outputs) if isinstance(outputs, Sequence) else [outputs]
        if len(several) != len(names):
            counts = f"the model has {counted(len(several), 'output')}, but losses are specified for {', '.join(names)}"
            raise Ai8xError(counts, fix=_FORM)
        return several

    def real_outputs(self, output: Any) -> dict[str, Tensor]:
        """Return the outputs by name, in real numbers."""
        given = zip(self.losses, self._ordered(output), strict=True)
        return {name: self.parts[name].real_outputs(one) * self._scales[name] for name, one in given}

    def columns(self, output: Outputs, target: Tensor) -> dict[str, Tensor]:
        """Return the targets of each output. Raises Ai8xError if their number does not match the outputs."""
        widths = {
            name: 1 if loss.kind == Classification.name else output[name][0].numel()
            for name, loss in self.losses.items()
        }
        rows = target.reshape(len(target), -1)
        if rows.shape[1] != sum(widths.values()):
            wanted = " + ".join(f"{width} for {name}" for name, width in widths.items())
            message = f"a target has {rows.shape[1]} numbers, but the outputs need {wanted}"
            raise Ai8xError(message, fix="check that the model matches the dataset")
        parts = torch.split(rows, list(widths.values()), dim=1)
        named = dict(zip(widths, parts, strict=True))
        kinds = {name: loss.kind for name, loss in self.losses.items()}
        return {n: t[:, 0].long() if kinds[n] == Classification.name else t for n, t in named.items()}

    def _weighted(self, output: Outputs, target: Tensor, inputs: Tensor) -> dict[str, Tensor]:
        columns = self.columns(output, target)
        losses = {name: part.loss(output[name], columns[name], inputs) for name, part in self.parts.items()}
        return {name: self.losses[name].weight * loss for name, loss in losses.items()}

    def loss(self, output: Outputs, target: Tensor, inputs: Tensor) -> Tensor:
        """Return the weighted sum of the losses."""
        return torch.stack([*self._weighted(output, target, inputs).values()]).sum()

    def training_loss(self, output: Outputs, target: Tensor, inputs: Tensor) -> BatchLoss:
        """Return the weighted sum and, for the log, the contribution of each output."""
        parts = self._weighted(output, target, inputs)
        total = torch.stack([*parts.values()]).sum()
        return BatchLoss(total, total, {f"{name} Loss": loss for name, loss in parts.items()})

    def meter(self) -> MultipleOutputsMeter:
        """Return a meter of all outputs."""
        return MultipleOutputsMeter(self)

    def _shown(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the main metric of each output by its displayed name."""
        formats = {name: part.main_metric for name, part in self.parts.items()}
        return {f"{name} {shown.name}": metrics[f"{name}_{shown.key}"] for name, shown in formats.items()}

    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the main metric of each output."""
        return {name: value if meter.samples else None for name, value in self._shown(meter.metrics()).items()}

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by the weighted sum of the losses; the smallest is best."""
        return (-measured.metrics["sum"],)

    def summary_line(self, measured: Measured) -> str:
        """Return ``==> shape Top1: 91.000    angle MSE: 0.022    Loss: 0.296``."""
        items = [f"{name}: {value:.3f}" for name, value in self._shown(measured.metrics).items()]
        return "==> " + spaced([*items, f"Loss: {measured.loss:.3f}"])

    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return the main metrics with the number of parameters and the epoch."""
        items = [f"{name}: {value:.3f}" for name, value in self._shown(measured.metrics).items()]
        return f"==> Best [{spaced([*items, f'Params: {parameters} on epoch: {epoch}'], 3)}]"
