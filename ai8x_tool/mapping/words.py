"""Words of data memory that a placed network reads and writes, and when."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bits_of, highest
from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.mapping.regions import LANES

Times = npt.NDArray[np.int64]
_INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE


def instances_of(processors: int) -> int:
    """Return the data-memory instances of `processors`, as a mask."""
    return sum(1 << i for i in range(_INSTANCES) if processors >> LANES * i & 0xF)


class Words(NamedTuple):
    """Words at regular distances, the same in all `instances` (a mask): `length` runs of `run` words, `step` apart."""

    instances: int
    first: int
    step: int
    length: int
    run: int = 1

    @property
    def last(self) -> int:
        """The last word."""
        return self.first + (self.length - 1) * self.step + self.run - 1

    def positions(self) -> npt.NDArray[np.int64]:
        """Return all words, run after run."""
        starts = self.first + self.step * np.arange(self.length, dtype=np.int64)
        return (starts[:, None] + np.arange(self.run)).reshape(-1)

    def common(self, other: Words) -> npt.NDArray[np.int64]:
        """Return the words that both hold in an instance in common."""
        if not self.instances & other.instances or self.last < other.first or other.last < self.first:
            return _NONE
        if self.step == other.step and self.run == other.run == 1 and (self.first - other.first) % self.step:
            return _NONE
        return np.intersect1d(self.positions(), other.positions())


_NONE = np.empty(0, np.int64)


def first_common(one: list[Words], other: list[Words]) -> tuple[int, int] | None:
    """Return (instance, word) of the first word that both sets hold, None if there is none."""
    for a in one:
        for b in other:
            words = a.common(b)
            if len(words):
                mask = a.instances & b.instances
                return (mask & -mask).bit_length() - 1, int(words[0])
    return None


def written_words(at: PlacedLayer) -> list[Words]:
    """Return every word that a layer writes, scratch before and after its output included."""
    view = at.view
    pixels = at.layer.out_size[0] * at.layer.out_size[1] + view.extra_words
    return _output(at, (at.out_offset - view.skipped_bytes) // 4, pixels)


def output_words(at: PlacedLayer) -> list[Words]:
    """Return the words of a layer's output, as others read it."""
    return _output(at, at.out_offset // 4, at.layer.out_size[0] * at.layer.out_size[1])


def _output(at: PlacedLayer, first: int, pixels: int) -> list[Words]:
    passes, unit, per_pass = at.view.output_passes, at.layer.output_width // 8, at.view.outputs_per_pass
    step = unit * (at.write_gap + 1)
    last = at.layer.channels_out - (passes - 1) * per_pass
    if unit == 1 and last > per_pass - LANES:
        return [Words(instances_of(at.output_map), first, step, pixels * passes)]
    used = bits_of(at.output_map)
    result = []
    for number in range(passes):
        present = sum(1 << p for p in used[: last if number == passes - 1 else per_pass])
        start, distance = first + number * step, passes * step
        if unit == 1:
            result.append(Words(instances_of(present), start, distance, pixels))
            continue
        for instance in bits_of(instances_of(present)):
            run = highest(present >> LANES * instance & 0xF) + 1
            result.append(Words(1 << instance, start, distance, pixels, run))
    return result


def input_words(at: PlacedLayer) -> Words:
    """Return every word that a layer's input takes, where the layer reads it."""
    rows, columns = at.layer.in_size
    pixels, first, mask = rows * columns, at.input_offset // 4, instances_of(at.own_processors)
    if at.chw:
        return Words(mask, first, 1, -(-pixels // LANES))
    return Words(mask, first, at.read_gap + 1, pixels * at.view.input_passes * at.layer.operands)


def reading_times(at: PlacedLayer) -> Times:
    """Return for each word of :func:`input_words` the number of the last pooling window that contains it.

    Windows are read in row-major order, each with all its passes and operands.
    """
    layer, view = at.layer, at.view
    (rows, columns), (high, wide) = layer.in_size, layer.pooled_size
    if layer.flatten:
        return np.zeros(input_words(at).length, np.int64)
    if view.emulated:  # passes are executed as rows of their own
        return np.repeat(np.arange(rows * columns * view.input_passes), layer.operands)
    row = np.minimum(np.arange(rows) // layer.pool_stride[0], high - 1)
    column = np.minimum(np.arange(columns) // layer.pool_stride[1], wide - 1)
    pixels = (row[:, None] * wide + column).reshape(-1)
    if at.chw:
        padded = np.concatenate([pixels, np.full(-len(pixels) % LANES, pixels[-1])])
        return padded.reshape(-1, LANES).max(axis=1)
    return np.repeat(pixels, view.input_passes * layer.operands)


def writing_times(at: PlacedLayer) -> list[tuple[Words, Times]]:
    """Return :func:`written_words`, and for each word the number of the last window read before it is written."""
    times = _output_times(at)
    result = []
    for words in written_words(at):
        by_word = np.arange(words.length) if at.view.emulated else np.repeat(times, words.length // len(times))
        result.append((words, np.repeat(by_word, words.run)))
    return result


def _output_times(at: PlacedLayer) -> Times:
    """Return for each output pixel the number of the last pooling window that it, or an earlier one, needs."""
    layer, view = at.layer, at.view
    high, wide = view.pooled_size
    rows, columns = view.out_size
    if layer.flatten or (high, wide) == (1, 1):
        return np.zeros(rows * columns, np.int64)
    scale = 2 if view.operator == "convtranspose2d" else 1
    reach = (view.kernel[0] - 1 - view.pad[0], view.kernel[1] - 1 - view.pad[1])
    row = np.clip((np.arange(rows) + reach[0]) // scale, 0, high - 1)
    column = np.clip((np.arange(columns) + reach[1]) // scale, 0, wide - 1)
    times: Times = np.maximum.accumulate((row[:, None] * wide + column).reshape(-1))
    return times
