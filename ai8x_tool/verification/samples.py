"""Samples with which a network is verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ai8x_tool.console import Console
from ai8x_tool.data.middle import middle
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.synthesis.synthesize import Synthesis


@dataclass(frozen=True)
class Samples:
    """Integer samples (N, channels, rows, columns), −128 … 127, and a text that names their source."""

    values: npt.NDArray[Any]
    source: str


def choose_samples(
    synthesis: Synthesis, evaluation: EvaluateSettings | None, count: int | None, console: Console
) -> Samples:
    """Return the first `count` samples of the dataset of `evaluation`; without a count, the known-answer sample.

    Raises Ai8xError if there is no such dataset, or it has fewer samples.
    """
    if count is None:
        return Samples(synthesis.sample[None].astype(np.int8), "the known-answer sample")
    if evaluation is None:
        raise Ai8xError("no dataset is known to take samples from", fix="name a recipe, or pass --dataset and --model")
    return _data_samples(evaluation, count, synthesis.network.input_shape, console)


def _data_samples(settings: EvaluateSettings, count: int, shape: Sequence[int], console: Console) -> Samples:
    """Return the first `count` samples of the dataset's test split for a network with inputs of `shape`.

    Of samples with more channels the first ones are used, and of larger images the middle.
    """
    entry = find_dataset(settings.dataset, settings, console)
    test = entry.load(settings.data, console).test
    if not 0 < count <= len(test):
        message = f"requested {count} samples, but the test split of {entry.name} has {len(test)}"
        raise Ai8xError(message, fix="reduce --samples")
    inputs = test.batch(torch.arange(count))[0]
    values = (inputs if entry.frames is None else inputs[:, 0])[:, : shape[0]].numpy()
    values = middle(values.reshape(*values.shape, *(1,) * (4 - values.ndim)), shape)
    note = f" ({entry.note})" if entry.note else ""
    return Samples(values.astype(np.int8), f"the first {count} test samples of {entry.name}{note}")
