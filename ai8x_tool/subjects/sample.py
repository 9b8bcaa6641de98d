"""Random samples for networks without a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.unweighted import described_input
from ai8x_tool.plugins.find import dataset_input
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.project import ProjectInputs

_SEED = 0


def random_sample(shape: Sequence[int], console: Console, *, answers: bool = True) -> npt.NDArray[np.int64]:
    """Return reproducible random values of `shape`; with `answers`, report that the known answers are for them."""
    text = "×".join(map(str, shape))
    if answers:
        console.info(f"no sample was found: the known-answer test uses a random input of {text}")
    return np.random.default_rng(_SEED).integers(-128, 128, shape)


def missing_sample(settings: SynthesizeSettings, console: Console) -> ProjectInputs | None:
    """Return a random sample for the network of a description, None if its dataset has a sample.

    If the shape of the input is not known, None is returned, and the synthesis reports the missing sample.
    """
    silent = Console(verbosity=-1, muted=True)
    description = read_description(settings.network_file(), settings.part, silent)
    if settings.sample_input_file(description.dataset) is not None:
        return None
    shape: Any = described_input(description)
    if shape is None:
        try:
            shape = dataset_input(settings.dataset or description.dataset)
        except Ai8xError:
            return None
    return ProjectInputs(None, random_sample(shape, console, answers=settings.kat))
