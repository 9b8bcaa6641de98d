"""Check that each layer reads its inputs from where they were written."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bit_indices
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import BUFFER, INPUT, Source
from ai8x_tool.network.sizes import passes, processors_per_pass

Indices = npt.NDArray[np.int64]


@lru_cache(maxsize=4096)
def _processors(processors: int) -> Indices:
    return np.array(bit_indices(processors), np.int64)


class Plane(NamedTuple):
    """Places of a value's channels: processor and word of each channel's first pixel; pixels are `step` words apart.

    `columns` is the length of the value's rows. `why` is the reason why layers cannot read it, empty if they can.
    """

    processors: Indices
    words: Indices
    step: int
    pixels: int
    columns: int
    label: str
    why: str = ""

    def without(self, before: int, after: int) -> Plane:
        """Return the plane without `before` pixels at the start and `after` pixels at the end."""
        return self._replace(words=self.words + before * self.step, pixels=self.pixels - before - after)


class WrongRead(NamedTuple):
    """A channel that a layer reads from a wrong place: `reads` instead of `lies`, as texts for messages."""

    label: str
    channel: int
    reads: str
    lies: str


def wrong_read(placed: PlacedNetwork, at: PlacedLayer) -> WrongRead | None:
    """Return the first channel that the layer does not read from where it was written; None if there is none."""
    layer = at.layer
    if at.chw and layer.inputs == (INPUT,) and not placed.options.fifo:
        return None
    planes = [_source_plane(placed, source, at) for source in layer.inputs]
    if any(plane is None for plane in planes):
        return None
    sources = [plane for plane in planes if plane is not None]
    absent = next((plane for plane in sources if plane.why), None)
    if absent is not None:
        return WrongRead(absent.label, 0, "data memory", absent.why)
    first, last = layer.in_crop
    if first or last:
        sources = [plane.without(first * plane.columns, last * plane.columns) for plane in sources]
    return _compare(at, sources)


# -- Where values lie --------------------------------------------------------------------------------------------------


def _plane(processors: int, channels: int, first: int, unit: int, size: tuple[int, int], label: str) -> Plane | None:
    """Return the plane of a value whose passes are `unit` words apart; None if the map is too small."""
    rounds, per_pass = passes(channels), processors_per_pass(channels)
    used = _processors(processors)
    if len(used) < per_pass:
        return None
    number, rank = np.divmod(np.arange(channels), per_pass)
    return Plane(used[rank], first + number * unit, rounds * unit, size[0] * size[1], size[1], label)


def _source_plane(placed: PlacedNetwork, source: Source, reader: PlacedLayer) -> Plane | None:
    """Return the plane of a source; None if it has no place, which other rules report."""
    if source is BUFFER:
        return _buffer_plane(placed, reader)
    if source is INPUT:
        return _fed_plane(placed, reader) if placed.options.fifo else _stored_plane(placed)
    at = placed[str(source)]
    layer = at.layer
    unit = layer.output_width // 8 * (at.write_gap + 1)
    plane = _plane(at.output_map, layer.channels_out, at.out_offset // 4, unit, layer.out_size, layer.label)
    if plane is None:
        return None
    if at.streaming and at.next is not None and placed[at.next].streaming and at.next != reader.layer.index:
        return plane._replace(why="it streams into the next layer and is not kept")
    if layer.output_width != 8:
        return plane._replace(why="it is 32 bits wide")
    return plane


def _stored_plane(placed: PlacedNetwork) -> Plane | None:
    """Return the plane in which the host stores the input: for each pixel its passes, for each pass its operands."""
    at = placed.start
    layer, unit = at.layer, at.layer.operands
    size = placed.network.input_shape[1:]
    one = _plane(at.own_processors, layer.channels_in, at.input_offset // 4, unit, size, "the input")
    if one is None:
        return None
    if at.chw:
        return one._replace(why="it is stored channel by channel (CHW)")
    operand = np.repeat(np.arange(unit), layer.channels_in)
    return one._replace(processors=np.tile(one.processors, unit), words=np.tile(one.words, unit) + operand)


def _fed_plane(placed: PlacedNetwork, reader: PlacedLayer) -> Plane:
    """Return the plane to which FIFOs write the input.

    Each FIFO feeds the first processors of its quadrant: four channels, or one in CHW format.
    """
    at = placed.start
    lanes = 1 if at.chw else LANES
    channel = np.arange(placed.network.input_shape[0])
    quadrants = [q for q in range(4) if at.own_processors >> 16 * q & 0xF] or [0]
    if placed.options.fast_fifo:
        quadrants = quadrants[:1]
    number = channel // lanes
    processors = 16 * np.array(quadrants)[number % len(quadrants)] + channel % lanes
    processors[number >= len(quadrants)] = -1
    words = np.full(len(channel), at.input_offset // 4)
    rows, columns = placed.network.input_shape[1:]
    plane = Plane(processors, words, 1, rows * columns, columns, "the input")
    if reader is not at and (at.streaming or at.chw):
        return plane._replace(
            why="it streams and is not kept" if at.streaming else "it arrives channel by channel (CHW)"
        )
    return plane


def _buffer_plane(placed: PlacedNetwork, reader: PlacedLayer) -> Plane | None:
    buffer, where = placed.network.buffer, placed.placement.buffer
    if buffer is None or where is None:
        return None
    plane = _plane(
        where.processors, buffer.channels, where.offset // 4, 1, buffer.size, f"rolling buffer {buffer.name}"
    )
    if plane is None:
        return None
    if reader.layer.buffer_shift:
        return plane.without(reader.layer.buffer_shift * plane.columns, 0)
    if reader.layer.operator != "conv1d":
        return plane._replace(why="only a Conv1d or a layer that shifts it can read it")
    return plane if buffer.size[1] == 1 else plane._replace(why="it has several columns, but a Conv1d reads only one")


# -- Where layers read -------------------------------------------------------------------------------------------------


def _reading_plane(at: PlacedLayer) -> tuple[Indices, Indices, int]:
    """Return the processors and first words of all channels, operand by operand, and the words from pixel to pixel.

    The passes of a pixel are adjacent, as are the operands of each pass; the gap follows all of them.
    """
    layer, view = at.layer, at.view
    number, rank = np.divmod(np.arange(layer.channels_in), view.inputs_per_pass)
    operands = layer.operands
    processors = _processors(at.own_processors)[rank]
    words = at.input_offset // 4 + number * operands
    shifts = np.repeat(np.arange(operands), layer.channels_in)
    step = view.input_passes * operands * (1 if layer.flatten else at.read_gap + 1)
    return np.tile(processors, operands), np.tile(words, operands) + shifts, 1 if at.chw else step


def _compare(at: PlacedLayer, sources: list[Plane]) -> WrongRead | None:
    layer = at.layer
    if len(_processors(at.own_processors)) < at.view.inputs_per_pass:
        return None
    processors, words, step = _reading_plane(at)
    pixels = layer.in_size[0] * layer.in_size[1]
    if len(sources) > 1 and len({source.pixels for source in sources}) > 1:
        return _compare_stacked(sources, processors, words, step)
    if sources[0].pixels != pixels:
        return _compare_reshaped(at, sources, processors, words, step)
    first = 0
    for source in sources:
        part = slice(first, first + len(source.words))
        wrong = _differing(source, processors[part], words[part], step)
        if wrong is not None:
            return wrong
        first += len(source.words)
    return None


def _compare_stacked(sources: list[Plane], processors: Indices, words: Indices, step: int) -> WrongRead | None:
    """Compare sources of different sizes, whose pixels are concatenated."""
    before = 0
    for source in sources:
        count = min(len(words), len(source.words))
        wrong = _differing(source, processors[:count], words[:count] + before * step, step)
        if wrong is not None:
            return wrong
        before += source.pixels
    return None


def _compare_reshaped(
    at: PlacedLayer, sources: list[Plane], processors: Indices, words: Indices, step: int
) -> WrongRead | None:
    """Compare element by element: pixels of the sources become channels, or vice versa."""
    pixels = at.layer.in_size[0] * at.layer.in_size[1]
    have_words = np.concatenate([(s.words[:, None] + s.step * np.arange(s.pixels)).reshape(-1) for s in sources])
    have_processors = np.concatenate([np.repeat(s.processors, s.pixels) for s in sources])
    want_words = (words[:, None] + step * np.arange(pixels)).reshape(-1)
    want_processors = np.repeat(processors, pixels)
    if len(have_words) != len(want_words):
        have, want = len(have_words) // len(sources[0].words), pixels
        return WrongRead(sources[0].label, 0, f"{want} pixels", f"it has {have} in as many channels")
    wrong = (have_words != want_words) | (have_processors != want_processors)
    if not wrong.any():
        return None
    index = int(wrong.argmax())
    reads = _place(int(want_processors[index]), int(want_words[index]))
    lies = _place(int(have_processors[index]), int(have_words[index]))
    return WrongRead(sources[0].label, index // pixels, reads, lies)


def _differing(source: Plane, processors: Indices, words: Indices, step: int) -> WrongRead | None:
    wrong = (source.processors[: len(words)] != processors) | (source.words[: len(words)] != words)
    if wrong.any():
        channel = int(wrong.argmax())
        lies = _place(int(source.processors[channel]), int(source.words[channel]))
        return WrongRead(source.label, channel, _place(int(processors[channel]), int(words[channel])), lies)
    if source.pixels > 1 and source.step != step:
        return WrongRead(source.label, 0, f"a pixel every {step} words", f"one every {source.step} words")
    return None


def _place(processor: int, word: int) -> str:
    return f"processor {processor}, offset {4 * word:#x}" if processor >= 0 else "no FIFO"
