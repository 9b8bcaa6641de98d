"""Samples that a model got wrong, with what they are and what it found, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ai8x_tool.training.passes import BatchResult, Selection
from ai8x_tool.training.tasks.base import Task
from ai8x_tool.training.tasks.classification import Classification
from ai8x_tool.training.tasks.regression import Regression

MOST_SHOWN = 24


@dataclass(frozen=True, eq=False)
class ShownSample:
    """A sample: its number in the split, its values (channels, …) −128 … 127, what it is and what was found."""

    number: int
    values: npt.NDArray[np.float64]
    expected: str
    found: str


def has_wrong_samples(task: Task) -> bool:
    """Return whether outputs can be right or wrong, or more or less wrong, for single samples."""
    return type(task) in (Classification, Regression)


def wrong_samples(task: Task, samples: Selection, results: Sequence[BatchResult]) -> tuple[ShownSample, ...]:
    """Return the samples that are most wrong, the worst first.

    `results` are the raw outputs of all batches. Classes are wrong with some confidence, numbers by their error.
    """
    output = task.real_outputs(torch.cat([result.outputs for result in results]))
    targets = torch.cat([result.targets for result in results])
    if isinstance(task, Classification):
        if output.dim() != 2 or targets.dim() != 1:  # a class for each position
            return ()
        return _wrong_classes(task.context.entry.labels, samples, output, targets.long())
    return _largest_errors(samples, output.flatten(1), targets.flatten(1) if targets.dim() > 1 else targets[:, None])


def _wrong_classes(
    labels: Sequence[Any], samples: Selection, output: Tensor, targets: Tensor
) -> tuple[ShownSample, ...]:
    shares = output.softmax(dim=1)
    best, found = shares.max(dim=1)
    wrong = (found != targets).nonzero()[:, 0]
    worst = wrong[best[wrong].argsort(descending=True)][:MOST_SHOWN].tolist()

    def name(number: int) -> str:
        return str(labels[number]) if number < len(labels) else str(number)

    texts = [(name(int(targets[i])), f"{name(int(found[i]))}, {100 * float(best[i]):.0f} %") for i in worst]
    return _shown(samples, worst, texts)


def _largest_errors(samples: Selection, output: Tensor, targets: Tensor) -> tuple[ShownSample, ...]:
    if output.shape != targets.shape:
        return ()
    errors = (output - targets).square().mean(dim=1)
    worst = errors.argsort(descending=True)[: MOST_SHOWN // 2].tolist()
    return _shown(samples, worst, [(_numbers(targets[i]), _numbers(output[i])) for i in worst])


def _numbers(values: Tensor) -> str:
    shown = ", ".join(f"{value:.3g}" for value in values[:4].tolist())
    return f"{shown}, …" if len(values) > 4 else shown


def _shown(samples: Selection, chosen: list[int], texts: list[tuple[str, str]]) -> tuple[ShownSample, ...]:
    """Return the samples at `chosen` positions of the pass, with their inputs."""
    shown = []
    for position, (expected, found) in zip(chosen, texts, strict=True):
        index = samples.indices[position : position + 1]
        inputs, _ = samples.split.batch(index)
        shown.append(ShownSample(int(index), inputs[0].double().numpy(), expected, found))
    return tuple(shown)
