"""Overlap of a layer's output with the part of its own input that it has already read."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from ai8x_tool.mapper.classes import input_layout
from ai8x_tool.mapper.offsets import Overlaps
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.words import input_words, reading_times, writing_times
from ai8x_tool.network.layer import BUFFER, INPUT, Source


def trailing_overlaps(placed: PlacedNetwork) -> Overlaps:
    """Return the overlaps of outputs with inputs whose last reader is the layer itself.

    Offsets in `placed` do not matter.
    """
    network = placed.network
    found: dict[tuple[Hashable, Hashable], int] = {}
    last = {source: at.layer.name for at in placed.executed() for source in at.layer.inputs}
    for at in placed.executed():
        layer = at.layer
        if at.streaming or layer.buffer_shift or layer.buffer_insert or any(layer.in_crop):
            continue
        dying = [source for source in dict.fromkeys(layer.inputs) if last[source] == layer.name]
        dying = [source for source in dying if _is_overwritable(placed, source)]
        if dying:
            distance, words = _greatest_distance(placed, at), input_layout(network, layer).words
            places = dict(zip(reversed(layer.inputs), reversed(words), strict=True))
            found |= {(layer.name, source): distance - places[source] + words[0] for source in dying}
    return found


def _is_overwritable(placed: PlacedNetwork, source: Source) -> bool:
    if source is BUFFER:
        return False
    return source is INPUT or not (placed.network[str(source)].output or placed[str(source)].streaming)


def _greatest_distance(placed: PlacedNetwork, at: PlacedLayer) -> int:
    """Return the greatest distance, in words, of the output from the input at which no unread word is overwritten."""
    read = input_words(at)
    positions, times = read.positions() - at.input_offset // 4, reading_times(at)
    order = np.argsort(times, kind="stable")
    # unread[k]: the lowest word whose last read is in window k or later
    unread = np.minimum.accumulate(positions[order][::-1])[::-1]
    ends = times[order]
    distance: int | None = None
    for words, written in writing_times(at, resets=placed.resets_accumulator(at)):
        places = words.positions() - at.out_offset // 4
        later = np.searchsorted(ends, written, side="right")
        harmful = later < len(unread)
        if harmful.any():
            limit = int((unread[later[harmful]] - places[harmful]).min()) - 1
            distance = limit if distance is None else min(distance, limit)
    return int(positions.max()) if distance is None else distance
