"""Whether each layer reads its inputs where they were written."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bits_of
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.network.layer import BUFFER, INPUT, Source
from ai8x_tool.network.sizes import passes, processors_per_pass

Indices = npt.NDArray[np.int64]


@lru_cache(maxsize=4096)
def _processors(processors: int) -> Indices:
    return np.array(bits_of(processors), np.int64)


class Plane(NamedTuple):
    """Where the channels of a value lie: for each its processor and the word of its first pixel, then `step` words on.

    `stored` is False for values that are not in data memory, with the reason in `why`.
    """

    processors: Indices
    words: Indices
    step: int
    pixels: int
    label: str
    why: str = ""


class WrongRead(NamedTuple):
    """A channel that a layer reads from where it does not lie. Words are positions in data-memory instances."""

    label: str
    channel: int
    reads: str
    lies: str


def _plane(processors: int, channels: int, first: int, unit: int, pixels: int, label: str) -> Plane:
    """Return the plane of a value whose passes follow each other `unit` words apart."""
    rounds, per_pass = passes(channels), processors_per_pass(channels)
    number, rank = np.divmod(np.arange(channels), per_pass)
    return Plane(_processors(processors)[rank], first + number * unit, rounds * unit, pixels, label)


def _source_plane(placed: PlacedNetwork, source: Source, reader: PlacedLayer) -> Plane | None:
    """Return where a source lies; None for the rolling buffer, whose layers say themselves where they read."""
    if source is BUFFER:
        return None
    if source is INPUT:
        return _input_plane(placed)
    at = placed[str(source)]
    layer = at.layer
    pixels = layer.out_size[0] * layer.out_size[1]
    if layer.channels_out > passes(layer.channels_out) * len(_processors(at.output_map)):
        return None
    unit = layer.output_width // 8 * (at.write_gap + 1)
    plane = _plane(at.output_map, layer.channels_out, at.out_offset // 4, unit, pixels, layer.label)
    if at.streaming and at.next is not None and placed[at.next].streaming and at.next != reader.layer.index:
        return plane._replace(why="it streams into the next layer and is not kept")
    if layer.output_width != 8:
        return plane._replace(why="it is 32 bits wide")
    return plane


def _input_plane(placed: PlacedNetwork) -> Plane:
    at = placed.start
    layer, pixels = at.layer, at.layer.in_size[0] * at.layer.in_size[1]
    unit = layer.operands
    one = _plane(at.own_processors, layer.channels_in, at.input_offset // 4, unit, pixels, "the input")
    operand = np.repeat(np.arange(unit), layer.channels_in)
    plane = one._replace(processors=np.tile(one.processors, unit), words=np.tile(one.words, unit) + operand)
    if at.chw:
        return plane._replace(why="it is stored channel by channel (CHW)")
    return plane._replace(why="it streams and is not kept") if at.streaming else plane


def wrong_read(placed: PlacedNetwork, at: PlacedLayer) -> WrongRead | None:
    """Return the first channel that the layer reads from somewhere else than where it was written."""
    layer = at.layer
    if at.layer is placed.start.layer and layer.inputs == (INPUT,):
        return None
    planes = [_source_plane(placed, source, at) for source in layer.inputs]
    if any(plane is None for plane in planes):
        return None
    sources = [plane for plane in planes if plane is not None]
    absent = next((plane for plane in sources if plane.why), None)
    if absent is not None:
        return WrongRead(absent.label, 0, "data memory", absent.why)
    return _compare(at, sources)


def _reading_plane(at: PlacedLayer) -> tuple[Indices, Indices, int]:
    """Return processors and first words of all channels, operand by operand, and the words from pixel to pixel."""
    layer, view = at.layer, at.view
    number, rank = np.divmod(np.arange(layer.channels_in), view.inputs_per_pass)
    gap, operands = at.read_gap + 1, layer.operands
    words = at.input_offset // 4 + number * operands * gap
    processors = _processors(at.own_processors)[rank]
    shifts = np.repeat(np.arange(operands) * gap, layer.channels_in)
    return np.tile(processors, operands), np.tile(words, operands) + shifts, view.input_passes * operands * gap


def _compare(at: PlacedLayer, sources: list[Plane]) -> WrongRead | None:
    layer = at.layer
    if len(_processors(at.own_processors)) < at.view.inputs_per_pass:
        return None
    processors, words, step = _reading_plane(at)
    rows, columns = layer.in_size
    cropped = sum(layer.in_crop) * columns
    if len(sources) > 1 and len({source.pixels for source in sources}) > 1:
        return _compare_stacked(sources, processors, words, step)
    if sources[0].pixels != rows * columns + cropped:
        return _compare_reshaped(at, sources, processors, words, step)
    first, skipped = 0, layer.in_crop[0] * columns
    for source in sources:
        part = slice(first, first + len(source.words))
        begin = source._replace(words=source.words + skipped * source.step)
        wrong = _differing(begin, processors[part], words[part], step, 0)
        if wrong is not None:
            return wrong
        first += len(source.words)
    return None


def _compare_stacked(sources: list[Plane], processors: Indices, words: Indices, step: int) -> WrongRead | None:
    """Compare sources of different sizes, whose pixels follow each other."""
    before = 0
    for source in sources:
        count = min(len(words), len(source.words))
        wrong = _differing(source, processors[:count], words[:count] + before * step, step, before)
        if wrong is not None:
            return wrong
        before += source.pixels
    return None


def _compare_reshaped(
    at: PlacedLayer, sources: list[Plane], processors: Indices, words: Indices, step: int
) -> WrongRead | None:
    """Compare element by element: pixels of the sources become channels, or the reverse."""
    pixels = at.layer.in_size[0] * at.layer.in_size[1]
    have_words = np.concatenate([(s.words[:, None] + s.step * np.arange(s.pixels)).reshape(-1) for s in sources])
    have_processors = np.concatenate([np.repeat(s.processors, s.pixels) for s in sources])
    want_words = (words[:, None] + step * np.arange(pixels)).reshape(-1)
    want_processors = np.repeat(processors, pixels)
    count = min(len(have_words), len(want_words))
    wrong = (have_words[:count] != want_words[:count]) | (have_processors[:count] != want_processors[:count])
    if not wrong.any():
        return None
    index = int(wrong.argmax())
    reads = _place(int(want_processors[index]), int(want_words[index]))
    lies = _place(int(have_processors[index]), int(have_words[index]))
    return WrongRead(sources[0].label, index // pixels, reads, lies)


def _differing(source: Plane, processors: Indices, words: Indices, step: int, before: int) -> WrongRead | None:
    wrong = (source.processors[: len(words)] != processors) | (source.words[: len(words)] != words)
    if wrong.any():
        channel = int(wrong.argmax())
        lies = _place(int(source.processors[channel]), int(source.words[channel]))
        return WrongRead(source.label, channel, _place(int(processors[channel]), int(words[channel])), lies)
    if source.pixels > 1 and source.step != step:
        return WrongRead(source.label, 0, f"a pixel every {step} words", f"one every {source.step} words")
    return None


def _place(processor: int, word: int) -> str:
    return f"processor {processor}, offset {4 * word:#x}"
