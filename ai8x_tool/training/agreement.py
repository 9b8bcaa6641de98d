"""Comparison of the quantized model in torch with the integer engine, sample by sample, value by value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Split
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.network import Network
from ai8x_tool.text import counted

_BATCH = 128


@dataclass(frozen=True)
class Agreement:
    """Result of comparing `samples` samples with `values` outputs in all.

    `different_samples` should be 0; `first` then is None, otherwise it describes the first difference. `confusion`
    counts the engine's own results, rows are true classes; it stays empty where targets are not one class per result.
    """

    samples: int
    values: int
    different_samples: int
    first: str | None
    top1: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def complete(self) -> bool:
        """True if all outputs of all samples are equal."""
        return self.different_samples == 0

    def text(self) -> str:
        """Return the result as a line."""
        name = "8-bit model in torch ≡ integer engine"
        if self.complete:
            return f"{name}: {counted(self.samples, 'sample')}, {self.values:,} outputs, all equal"
        return f"{name}: {self.different_samples:,} of {self.samples:,} samples differ; first: {self.first}"

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return vars(self) | {"confusion": [list(row) for row in self.confusion]}


def compare_outputs(network: Network, split: Split, outputs: Tensor, console: Console) -> Agreement:
    """Run all samples of `split` through the integer engine and compare with torch's 8-bit `outputs` (N, classes, …).

    The output of a 32-bit last layer is the accumulator in both; torch multiplies it by its final scale.
    """
    classes, unscaled = int(outputs.shape[1]), 2.0 ** -network.outputs()[-1].final_scale
    confusion = np.zeros((classes, classes), np.int64)
    different, first = 0, None
    with console.progress("integer engine", len(split)) as progress:
        for start in range(0, len(split), _BATCH):
            indices = torch.arange(start, min(start + _BATCH, len(split)))
            inputs, targets = split.batch(indices)
            engine = run(network, _samples(network, inputs)).last
            expected = (outputs[indices].double() * unscaled).numpy().reshape(engine.shape)
            unequal = (engine != expected).reshape(len(indices), -1)
            if unequal.any() and first is None:
                first = _first_difference(engine, expected, unequal, start)
            different += int(unequal.any(axis=1).sum())
            answers = engine.argmax(axis=1)
            if _are_classes(targets.numpy(), answers, classes):
                truth = np.broadcast_to(_aligned(targets.numpy(), answers), answers.shape)
                np.add.at(confusion, (truth.reshape(-1), answers.reshape(-1)), 1)
            progress.advance(len(indices))
    return Agreement(
        samples=len(split),
        values=outputs.numel(),
        different_samples=different,
        first=first,
        top1=100 * float(np.trace(confusion)) / max(1, int(confusion.sum())),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def _samples(network: Network, inputs: Tensor) -> np.ndarray[Any, np.dtype[np.int8]]:
    data = inputs.numpy()
    data = data.reshape(*data.shape, *(1,) * (4 - data.ndim))
    if data.shape[1:] != network.input_shape:
        have, want = ("×".join(map(str, shape)) for shape in (data.shape[1:], network.input_shape))
        raise Ai8xError(f"samples are {have}, the network description expects {want}")
    return data.astype(np.int8)


def _are_classes(targets: np.ndarray[Any, Any], answers: np.ndarray[Any, Any], classes: int) -> bool:
    fitting = targets.ndim == 1 or targets.shape == answers.shape[: targets.ndim]
    return bool(np.issubdtype(targets.dtype, np.integer) and fitting and targets.max(initial=0) < classes)


def _aligned(targets: np.ndarray[Any, Any], answers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return targets.reshape(targets.shape + (1,) * (answers.ndim - targets.ndim))


def _first_difference(engine: Any, expected: Any, unequal: Any, start: int) -> str:
    sample = int(unequal.any(axis=1).argmax())
    channel, row, column = np.argwhere(engine[sample] != expected[sample])[0].tolist()
    torch_value, engine_value = expected[sample][channel, row, column], engine[sample][channel, row, column]
    return (
        f"sample {start + sample}, channel {channel}, row {row}, column {column}: "
        f"torch {torch_value:.0f}, engine {engine_value}"
    )
