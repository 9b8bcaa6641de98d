"""Recognition of the way in which a layer must read a tensor, from the tensor's tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.frontend.torch.steps import OperandReading, Shape, Step
from ai8x_tool.frontend.torch.tags import NOTHING, SECOND
from ai8x_tool.network.layer import Pair

Tags = npt.NDArray[np.int64]


class ArrangementError(Exception):
    """No layer can read data in this order; the text states the reason."""


class PartsError(ArrangementError):
    """No layer can read `parts` together, but several layers can read one each; `in_size` is then the size of all."""

    def __init__(
        self, text: str, parts: Sequence[OperandReading], *, in_size: Pair = (0, 0), flatten: bool = False
    ) -> None:
        super().__init__(text)
        self.parts, self.in_size, self.flatten = tuple(parts), in_size, flatten


class SelectionError(ArrangementError):
    """Only a 1×1 convolution that selects the channels `chosen` can read the channels of `sources` in this order."""

    def __init__(self, text: str, sources: Sequence[Step], chosen: Sequence[int]) -> None:
        super().__init__(text)
        self.sources, self.chosen = tuple(sources), tuple(chosen)


def one_sample(tags: Tags) -> Tags:
    """Return the tags of one sample. Raises ArrangementError if the samples of the batch are mixed."""
    same = len(tags) == 2 and np.array_equal(np.where(tags[0] == NOTHING, NOTHING, tags[0] + SECOND), tags[1])
    if not same:
        raise ArrangementError("the samples of a batch are mixed: the first dimension must stay the batch")
    found: Tags = tags[0]
    return found


def arrange(tags: Tags, steps: Sequence[Step]) -> OperandReading:
    """Return how `tags`, (features,), (channels, length) or (channels, rows, columns), are read from `steps`.

    `steps` are sorted by their first tag. Raises ArrangementError if the accelerator does not support the order.
    """
    if (tags == NOTHING).any():
        raise ArrangementError("zeros are added outside a convolution")
    if tags.ndim == 1:
        return _features(tags, steps)
    if tags.ndim not in (2, 3):
        raise ArrangementError(f"data of {tags.ndim} dimensions besides the batch")
    return _image(tags if tags.ndim == 3 else tags[..., None], steps)


def narrowed(tags: Tags, source: Step) -> tuple[Shape, int] | None:
    """Return shape and first tag if `tags` are consecutive channels of `source`; None otherwise."""
    pixels = source.shape[1] * source.shape[2]
    first, count = int(tags.flat[0]), tags.size // pixels
    whole = count > 0 and tags.size % pixels == 0 and first % pixels == 0
    if not whole or not np.array_equal(tags.ravel(), np.arange(first, first + tags.size)):
        return None
    within = source.first <= first and first + tags.size <= source.first + source.values
    return ((count, *source.shape[1:]), first) if within else None


def _source(tag: int, steps: Sequence[Step]) -> Step:
    return steps[max(0, int(np.searchsorted([step.first for step in steps], tag, side="right")) - 1)]


def _all_tags(step: Step) -> Tags:
    return np.arange(step.first, step.first + step.values, dtype=np.int64).reshape(step.shape)


def _features(tags: Tags, steps: Sequence[Step]) -> OperandReading:
    """Return how a vector is read: whole sources in sequence, each channel by channel and pixel by pixel."""
    parts: list[OperandReading] = []
    position = 0
    while position < len(tags):
        parts.append(_features_of_one(tags[position:], steps))
        position += parts[-1].values
    sizes = {part.size for part in parts}
    if len(sizes) > 1:
        text = "sources of different size are flattened together"
        if len({rows * columns for rows, columns in sizes}) > 1 or any(any(part.crop) for part in parts):
            raise ArrangementError(text)
        size = parts[-1].size
        raise PartsError(text, [p if p.size == size else replace(p, in_size=size) for p in parts], flatten=True)
    if any(any(part.crop) for part in parts):
        raise PartsError("the data are only partly flattened", parts, flatten=sizes != {(1, 1)})
    return OperandReading(tuple(part.sources[0] for part in parts), flatten=sizes != {(1, 1)})


def _features_of_one(tags: Tags, steps: Sequence[Step]) -> OperandReading:
    """Return how the first of `tags` are read from one source: all of it, or some of its rows."""
    step = _source(int(tags[0]), steps)
    every = _all_tags(step)
    if np.array_equal(tags[: step.values], every.ravel()):
        return OperandReading((step,))
    pixels, first = step.shape[1] * step.shape[2], int(tags[0]) - step.first
    following = tags[:pixels] - int(tags[0]) == np.arange(min(len(tags), pixels))
    count = len(following) if following.all() else int(following.argmin())
    part = every.reshape(len(every), pixels)[:, first : first + count]
    if first + count > pixels or not np.array_equal(tags[: part.size], part.ravel()):
        raise ArrangementError(_order_text(tags[: step.values], step))
    whole_rows = all(number % step.shape[2] == 0 for number in (first, count, pixels))
    columns = step.shape[2] if whole_rows else 1
    return OperandReading((step,), (count // columns, columns), (first // columns, (pixels - first - count) // columns))


def _image(tags: Tags, steps: Sequence[Step]) -> OperandReading:
    joined = _joined_pixels(tags, steps)
    if joined is not None:
        return joined
    parts: list[OperandReading] = []
    channel = 0
    while channel < len(tags):
        step = _source(int(tags[channel].flat[0]), steps)
        part = tags[channel : channel + step.shape[0]]
        try:
            parts.append(OperandReading((step,), *_way(part, step)))
        except PartsError as error:
            if len(part) == len(tags):
                raise
            raise ArrangementError(str(error)) from None
        except ArrangementError as error:
            chosen = _channels(tags, steps)
            raise (error if chosen is None else SelectionError(str(error), *chosen)) from None
        channel += len(part)
    if len({(part.in_size, part.crop) for part in parts}) > 1:
        raise PartsError("parts of different size are joined along the channels", parts)
    return replace(parts[0], sources=tuple(part.sources[0] for part in parts))


def _channels(tags: Tags, steps: Sequence[Step]) -> tuple[list[Step], list[int]] | None:
    """Return the sources of whole channels `tags`, and the channel numbers; None if `tags` are not whole channels.

    The numbers count all channels of all sources.
    """
    found = []
    for plane in tags:
        step = _source(int(plane.flat[0]), steps)
        channel, rest = divmod(int(plane.flat[0]) - step.first, plane.size)
        whole = plane.shape == step.shape[1:] and not rest and channel < step.shape[0]
        if not whole or not np.array_equal(plane, _all_tags(step)[channel]):
            return None
        found.append((step, channel))
    sources = list(dict.fromkeys(step for step, _ in found))
    before = {step: sum(other.shape[0] for other in sources[:number]) for number, step in enumerate(sources)}
    return sources, [before[step] + channel for step, channel in found]


def _way(part: Tags, step: Step) -> tuple[Any, Any]:
    """Return (in_size, crop) with which a layer reads `part` from the output of `step`."""
    every = _all_tags(step)
    size = (int(part.shape[1]), int(part.shape[2]))
    if part.size == every.size and np.array_equal(part.ravel(), every.ravel()):
        if len(part) != step.shape[0]:
            text = f"{'×'.join(map(str, step.shape))} values of {step.label} become {len(part)}×{size[0]}×{size[1]}"
            raise ArrangementError(f"{text}: the number of channels changes")
        return ((0, 0) if size == step.shape[1:] else size), (0, 0)
    pixels, count = step.shape[1] * step.shape[2], size[0] * size[1]
    before = int(part.flat[0]) - step.first
    after = pixels - before - count
    if len(part) == step.shape[0] and count < pixels and min(before, after) >= 0:
        kept = every.reshape(len(part), pixels)[:, before : before + count]
        if np.array_equal(part.reshape(kept.shape), kept):
            if before % size[1] or after % size[1]:
                cropped = OperandReading((step,), (count, 1), (before, after))
                raise PartsError("the cropped rows are not rows of the data", [cropped], in_size=size)
            return size, (before // size[1], after // size[1])
    raise ArrangementError(_order_text(part, step))


def _order_text(part: Tags, step: Step) -> str:
    within = (part >= step.first) & (part < step.first + step.values)
    if within.all() and part.size < step.values and np.array_equal(part.ravel(), np.unique(part)):
        return f"only a part of {step.label} is used"
    return f"values of {step.label} are not in the order channel, row, column"


def _joined_pixels(tags: Tags, steps: Sequence[Step]) -> OperandReading | None:
    """Return how sources of different size are read if their pixels are concatenated; None if they are not."""
    first = tags[0].ravel()
    sources: list[Step] = []
    position = 0
    while position < len(first):
        step = _source(int(first[position]), steps)
        sources.append(step)
        position += step.shape[1] * step.shape[2]
    if len({step.shape[1:] for step in sources}) == 1 or any(step.shape[0] != len(tags) for step in sources):
        return None
    expected = np.concatenate([_all_tags(step).reshape(len(tags), -1) for step in sources], axis=1)
    if not np.array_equal(expected, tags.reshape(len(tags), -1)):
        return None
    return OperandReading(tuple(sources), (int(tags.shape[1]), int(tags.shape[2])))
