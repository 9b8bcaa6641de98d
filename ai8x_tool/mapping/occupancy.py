"""Occupancy of data memory: places and live ranges of values."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.streaming import ends_stream, rollover
from ai8x_tool.mapping.words import Words, instances_of, output_words, stored_words, written_words
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source

ALWAYS = 1 << 30
"""The end of the live range of outputs, and of data that the next inference reads."""


class StoredValue(NamedTuple):
    """A value in data memory; its live range is from step `born` to the step of its last read, `dies`.

    `source` identifies it among the inputs of layers; `layer` writes it, None for the input and the rolling buffer.
    """

    source: Source
    label: str
    words: list[Words]
    born: int
    dies: int
    layer: Layer | None = None


class RollingBuffer(NamedTuple):
    """The rolling buffer of a streaming layer."""

    at: PlacedLayer
    words: Words


def execution_steps(placed: PlacedNetwork) -> dict[str, int]:
    """Return the execution step of each layer, by name."""
    return {name: step for step, name in enumerate(placed.placement.order)}


def rolling_buffers(placed: PlacedNetwork) -> list[RollingBuffer]:
    """Return the rolling buffers of all streaming layers."""
    found = []
    fed = 0
    for at in placed.layers:
        if at.streaming:
            instances = instances_of(at.processors) | fed
            found.append(RollingBuffer(at, Words(instances, at.input_offset // 4, 1, rollover(at, placed))))
            fed = 0
            for words in written_words(at):
                fed |= words.instances
    return found


def stored_values(placed: PlacedNetwork) -> list[StoredValue]:
    """Return all values that data memory contains at some time, in order of their first step."""
    when = execution_steps(placed)
    last = {
        source: step for at, step in zip(placed.executed(), when.values(), strict=True) for source in at.layer.inputs
    }
    found = [*_input_value(placed, last), *_buffer_value(placed)]
    for at in placed.executed():
        layer = at.layer
        if at.streaming and not ends_stream(at, placed):
            continue
        born = when[layer.name]
        dies = ALWAYS if layer.output or is_unloaded(placed, at) else last.get(layer.name, born)
        found.append(StoredValue(layer.name, f"output of {layer.label}", output_words(at), born, dies, layer))
    return found


def is_unloaded(placed: PlacedNetwork, at: PlacedLayer) -> bool:
    """Return whether the host unloads the layer's output, which no later layer replaces."""
    place = (at.out_offset, at.output_map, at.layer.channels_out)
    if not any((item.offset, item.processors, item.channels) == place for item in placed.placement.unload):
        return False
    same = [x for x in placed.executed() if (x.out_offset, x.output_map, x.layer.channels_out) == place]
    return same[-1] is at


def input_storage(placed: PlacedNetwork) -> Words:
    """Return the words of data memory in which the input is stored, by the host or through a FIFO."""
    shape = placed.network.input_shape
    return stored_words(placed.start, shape[1] * shape[2], fifo=placed.options.fifo)


def _input_value(placed: PlacedNetwork, last: dict[Source, int]) -> list[StoredValue]:
    start = placed.start
    if start.streaming:
        return []
    words = input_storage(placed)
    return [StoredValue(INPUT, "input data", [words], -1, last.get(INPUT, 0))]


def _buffer_value(placed: PlacedNetwork) -> list[StoredValue]:
    buffer, where = placed.network.buffer, placed.placement.buffer
    if buffer is None or where is None:
        return []
    count = buffer.size[0] * buffer.size[1] * -(-buffer.channels // 64)
    words = [Words(instances_of(where.processors), where.offset // 4, 1, count)]
    return [StoredValue(BUFFER, f"rolling buffer {buffer.name}", words, -1, ALWAYS)]
