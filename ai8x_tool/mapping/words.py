"""Words of data memory that a placed network reads and writes, and the times of these accesses."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bit_indices, ceil4, ceil_div, highest_bit, lowest_bit, quadrant_bits
from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE, QUADRANTS
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.mapping.regions import LANES

Times = npt.NDArray[np.int64]
NEVER = -1
"""The time before the first pooling window."""
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

    def first_common(self, other: Words) -> int | None:
        """Return the first word that both contain in a common instance; None if there is none."""
        low, high = max(self.first, other.first), min(self.last, other.last)
        if not self.instances & other.instances or low > high:
            return None
        if self._dense or other._dense:
            found = low if other._dense and self._dense else (other if self._dense else self)._next(low)
            return found if found <= high else None
        pairs = ((a, b) for a in range(self.run) for b in range(other.run))
        meetings = [_meeting(self.first + a, self.step, other.first + b, other.step, low) for a, b in pairs]
        return min((word for word in meetings if word is not None and word <= high), default=None)

    @property
    def _dense(self) -> bool:
        return self.run >= self.step or self.length == 1

    def _next(self, word: int) -> int:
        """Return the first contained word from `word` on; one beyond the last if there is none."""
        number, inside = divmod(word - self.first, self.step)
        return word if inside < self.run else self.first + (number + 1) * self.step


def _meeting(one: int, one_step: int, other: int, other_step: int, low: int) -> int | None:
    """Return the first number from `low` on in both infinite arithmetic progressions; None if there is none."""
    common = gcd(one_step, other_step)
    if (other - one) % common:
        return None
    period = other_step // common
    turns = (other - one) // common * pow(one_step // common, -1, period) % period if period > 1 else 0
    word = one + one_step * turns
    distance = one_step * period
    return word + max(0, ceil_div(low - word, distance)) * distance


def first_common(one: list[Words], other: list[Words]) -> tuple[int, int] | None:
    """Return (instance, word) of the first word that both sets contain; None if there is none."""
    for a in one:
        for b in other:
            word = a.first_common(b)
            if word is not None:
                return lowest_bit(a.instances & b.instances), word
    return None


# -- Writing -----------------------------------------------------------------------------------------------------------


def _runs(instances: int, first: int, step: int, length: int, run: int = 1) -> Words:
    return Words(instances, first, 1, length * run) if run == step else Words(instances, first, step, length, run)


def first_word(at: PlacedLayer) -> int:
    """Return the word at which a layer begins to write, including scratch."""
    return (at.out_offset - at.view.skipped_bytes) // 4


def written_words(at: PlacedLayer, *, resets: bool = False) -> list[Words]:
    """Return all words that a layer writes: its output, scratch around it, and data for unused processors.

    `resets`: a hidden layer before it clears the accumulator for pooling and writes a word.
    """
    view = at.view
    pixels = at.layer.out_size[0] * at.layer.out_size[1] + view.extra_words
    if view.operator == "none":
        words = [Words(_copied_instances(at), first_word(at), at.write_gap + 1, pixels * view.output_passes)]
    elif at.layer.depthwise:
        words = _output(at, first_word(at), pixels, whole=True)
    else:
        words = _summed(at, pixels)
    return [_reset_word(at), *words] if resets else words


def computed_outputs(at: PlacedLayer) -> int:
    """Return the number of outputs that a layer with sums computes: one per kernel, including unused lanes."""
    layer, passes = at.layer, at.view.output_passes
    if layer.bypass:
        return layer.channels_out
    lead = lowest_bit(at.output_map) % LANES
    count = (highest_bit(at.output_map) - lowest_bit(at.output_map) + 1 + lead) * passes
    if passes > 1:
        count += lead * passes
    if layer.flatten:
        count -= passes * at.output_map.bit_count() - layer.channels_out
    if at.processors != at.own_processors:  # each quadrant computes every fourth output
        return ceil4(count)
    kernels = at.view.input_passes * layer.flat_pixels
    return ceil4(count * kernels) // kernels if at.calcx4 else count


def _summed(at: PlacedLayer, pixels: int) -> list[Words]:
    """Return the words written by a layer with sums: a counter runs through all lanes of a pass, also unused ones."""
    passes, unit = at.view.output_passes, at.layer.output_width // 8
    step = unit * (at.write_gap + 1)
    first, lanes = lowest_bit(at.output_map) // LANES, highest_bit(at.output_map) - (lowest_bit(at.output_map) & ~3) + 1
    computed = computed_outputs(at)
    rounds = [min(lanes, computed - number * lanes) for number in range(passes)]
    if unit == 1 and ceil_div(rounds[-1], LANES) == ceil_div(lanes, LANES):
        return [_runs(_successive(first, lanes), first_word(at), step, pixels * passes)]
    found = []
    for number, count in enumerate(count for count in rounds if count > 0):
        start, distance = first_word(at) + number * step, passes * step
        if unit == 1:
            found.append(_runs(_successive(first, count), start, distance, pixels))
            continue
        full, rest = divmod(count, LANES)
        if full:
            found.append(_runs(_successive(first, full * LANES), start, distance, pixels, LANES))
        if rest:
            found.append(_runs(1 << first + full, start, distance, pixels, rest))
    return found


def _successive(first: int, lanes: int) -> int:
    """Return the instances of `lanes` lanes from instance `first` on."""
    return (1 << ceil_div(lanes, LANES)) - 1 << first


def _copied_instances(at: PlacedLayer) -> int:
    """Return the instances that a layer without sums writes: in each quadrant, as many as its processors need."""
    instances = 0
    for quadrant in range(QUADRANTS):
        count = quadrant_bits(at.processors, quadrant).bit_count()
        inside = quadrant_bits(at.output_map, quadrant)
        first = (16 * quadrant + lowest_bit(inside)) // LANES if inside else 0
        instances |= _successive(first, count)
    return instances & (1 << _INSTANCES) - 1


def _reset_word(at: PlacedLayer) -> Words:
    """Return the word that the hidden layer before `at` writes in quadrant 0, with the write pointer of `at` there."""
    inside = quadrant_bits(at.output_map, 0) if at.view.operator == "none" else at.output_map
    if at.layer.depthwise and not at.broadcast and lowest_bit(at.processors) >= PROCESSORS // QUADRANTS:
        return Words(1, 0, 1, 1)
    return Words(1 << (lowest_bit(inside) // LANES if inside else 0), first_word(at), 1, 1)


def output_words(at: PlacedLayer) -> list[Words]:
    """Return the words of a layer's output that other layers read."""
    return _output(at, at.out_offset // 4, at.layer.out_size[0] * at.layer.out_size[1])


def _output(at: PlacedLayer, first: int, pixels: int, *, whole: bool = False) -> list[Words]:
    """Return the words that contain channels; `whole`: as if all processors had a channel in all passes."""
    passes, unit, per_pass = at.view.output_passes, at.layer.output_width // 8, at.view.outputs_per_pass
    step = unit * (at.write_gap + 1)
    last = per_pass if whole else at.layer.channels_out - (passes - 1) * per_pass
    if unit == 1 and last > per_pass - LANES:
        return [_runs(instances_of(at.output_map), first, step, pixels * passes)]
    used = bit_indices(at.output_map)
    result = []
    for number in range(passes):
        present = sum(1 << p for p in used[: last if number == passes - 1 else per_pass])
        start, distance = first + number * step, passes * step
        if unit == 1:
            result.append(_runs(instances_of(present), start, distance, pixels))
            continue
        for instance in bit_indices(instances_of(present)):
            run = highest_bit(present >> LANES * instance & 0xF) + 1
            result.append(_runs(1 << instance, start, distance, pixels, run))
    return result


def writing_times(at: PlacedLayer, *, resets: bool = False) -> list[tuple[Words, Times]]:
    """Return :func:`written_words`, and for each word the number of the last window read before it is written."""
    result: list[tuple[Words, Times]] = []
    times = _output_times(at)
    for number, words in enumerate(written_words(at, resets=resets)):
        size = words.length * words.run
        if resets and number == 0:
            result.append((words, np.full(size, NEVER)))
        elif at.view.emulated:
            result.append((words, np.arange(size)))
        else:
            result.append((words, np.repeat(times, size // len(times))))
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


# -- Reading -----------------------------------------------------------------------------------------------------------


def stored_words(start: PlacedLayer, pixels: int, *, fifo: bool) -> Words:
    """Return the words that an input of `pixels` pixels occupies where `start`, the first layer, reads it."""
    per_pixel = 1 if fifo else start.view.input_passes * start.layer.operands
    length = ceil_div(pixels, LANES) if start.chw else pixels * per_pixel
    return Words(instances_of(start.processors), start.input_offset // 4, 1, length)


def input_words(at: PlacedLayer) -> Words:
    """Return all words of a layer's input at the places where the layer reads them."""
    rows, columns = at.layer.in_size
    pixels, first, mask = rows * columns, at.input_offset // 4, instances_of(at.processors)
    if at.chw:
        return Words(mask, first, 1, ceil_div(pixels, LANES))
    run = at.view.input_passes * at.layer.operands
    return _runs(mask, first, run * (1 if at.layer.flatten else at.read_gap + 1), pixels, run)


def reading_times(at: PlacedLayer) -> Times:
    """Return for each word of :func:`input_words` the number of the last pooling window that contains it, or NEVER.

    Windows are read in row-major order, each with all its passes and operands.
    """
    layer, view = at.layer, at.view
    rows, columns = layer.in_size
    run = view.input_passes * layer.operands
    if layer.flatten:
        return np.zeros(rows * columns * run, np.int64)
    if view.emulated:  # passes are executed as rows of their own
        return np.repeat(np.arange(rows * columns * view.input_passes), layer.operands)
    row, column = _last_windows(at, 0), _last_windows(at, 1)
    pixels = np.where((row[:, None] < 0) | (column < 0), NEVER, row[:, None] * layer.pooled_size[1] + column)
    if at.chw:
        padded = np.concatenate([pixels.reshape(-1), np.full(-pixels.size % LANES, NEVER)])
        return padded.reshape(-1, LANES).max(axis=1)
    return np.repeat(pixels.reshape(-1), run)


def _last_windows(at: PlacedLayer, axis: int) -> Times:
    """Return for each row (`axis` 0) or column of the input the last row or column of windows that contains it."""
    layer, stride = at.layer, at.layer.pool_stride[axis]
    window, dilation = (layer.pool[axis], layer.pool_dilation[axis]) if layer.has_pool else (1, 1)
    place = np.arange(layer.in_size[axis])[:, None] - dilation * np.arange(window)
    number = np.where(place % stride == 0, place // stride, NEVER)
    return np.where((number >= 0) & (number < layer.pooled_size[axis]), number, NEVER).max(axis=1)


def block_read_ahead(at: PlacedLayer, block: int) -> int | None:
    """Return the first block of `block` words that a layer writes while it reads the next window from it, or None."""
    layer, (rows, columns) = at.layer, (1, 1) if at.layer.flatten else at.layer.pooled_size
    reach = [(p - 1) * d if layer.has_pool else 0 for p, d in zip(layer.pool, layer.pool_dilation, strict=True)]
    read, run = input_words(at), at.view.input_passes * layer.operands
    first = (np.arange(rows)[:, None] * layer.pool_stride[0] * layer.in_size[1]) + np.arange(columns) * (
        layer.pool_stride[1]
    )
    last = first + reach[0] * layer.in_size[1] + reach[1]
    if at.chw:
        low, high = read.first + first // LANES, read.first + last // LANES
    else:
        step = run if layer.flatten else run * (at.read_gap + 1)
        low, high = read.first + step * first, read.first + step * last + run * layer.flat_pixels - 1
    low, high = low.reshape(-1) // block, high.reshape(-1) // block
    for words, times in writing_times(at):
        if not words.instances & read.instances:
            continue
        ahead = np.minimum(times + 1, len(low) - 1)
        written = words.positions() // block
        meets = (written >= low[ahead]) & (written <= high[ahead]) & (times + 1 < len(low))
        if meets.any():
            return int(written[meets][0])
    return None
