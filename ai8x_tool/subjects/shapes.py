"""Shape of a network's input before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from ai8x_tool.analysis.result import Shape
from ai8x_tool.console import Console
from ai8x_tool.data.middle import is_middle
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import dataset_input
from ai8x_tool.readers.numpy_file import read_array
from ai8x_tool.resources import locate
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.synthesis import CHECKPOINTS


def three_sizes(shape: Sequence[int]) -> Shape:
    """Return (channels, rows, columns) for a shape of one to three sizes."""
    channels, rows, columns = (*shape, 1, 1)[:3]
    return channels, rows, columns


def sample_shape(
    settings: AnalyzeSettings, dataset: str | None, described: Shape | None, where: str, console: Console
) -> Shape:
    """Return the shape of a sample: the given one, the `described` one, the dataset's, or that of a bundled sample.

    A network may be described for the middle of the samples of the dataset that was given. Raises Ai8xError if there is
    no shape.
    """
    given = settings.shape or (dataset_input(settings.dataset, console) if settings.dataset else described)
    if settings.shape is None and given is not None and described is not None and is_middle(described, given):
        given = described
    if given is not None:
        return three_sizes(given)
    if dataset is not None:
        try:
            return three_sizes(dataset_input(dataset, console))
        except Ai8xError:
            sample = locate(CHECKPOINTS, f"sample_{dataset.lower()}.npy")
            if sample is not None:
                return three_sizes(read_array(sample).shape)
    known = "" if dataset is None else f": there is no dataset {dataset!r}"
    message = f"the shape of the input is not known{known}"
    raise Ai8xError(message, where=where, fix="add --input 3x64x64 or --dataset NAME")
