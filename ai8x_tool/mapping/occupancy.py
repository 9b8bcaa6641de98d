"""Which values live where in data memory, and for how long."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.streaming import ends_stream, rollover
from ai8x_tool.mapping.words import Words, input_words, instances_of, output_words
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source

ALWAYS = 1 << 30
"""Until the end, and beyond: outputs, and what the next inference reads."""


class Value(NamedTuple):
    """A value in data memory from the step in which it is `born` to the one in which it is read last (`dies`).

    `source` is what layers call it; `layer` the layer that writes it, None for the input and the rolling buffer.
    """

    source: Source
    label: str
    words: list[Words]
    born: int
    dies: int
    layer: Layer | None = None


class Ring(NamedTuple):
    """The rolling buffer of a streaming layer."""

    at: PlacedLayer
    words: Words


def steps(placed: PlacedNetwork) -> dict[str, int]:
    """Return when each layer runs, by name."""
    return {name: step for step, name in enumerate(placed.placement.order)}


def rings(placed: PlacedNetwork) -> list[Ring]:
    """Return the rolling buffers of all streaming layers."""
    found = []
    for at in placed.layers:
        if at.streaming:
            count = rollover(at, placed)
            found.append(Ring(at, Words(instances_of(at.processors), at.input_offset // 4, 1, count)))
    return found


def values(placed: PlacedNetwork) -> list[Value]:
    """Return everything that lies in data memory for some time, by the step in which it is born."""
    when = steps(placed)
    found = [*_input_value(placed, when), *_buffer_value(placed)]
    for at in placed.executed():
        layer = at.layer
        if at.streaming and not ends_stream(at, placed):
            continue
        born = when[layer.name]
        readers = [when[reader.name] for reader in placed.network.readers(layer.name)]
        dies = ALWAYS if layer.output or _is_unloaded(placed, at) else max(readers, default=born)
        found.append(Value(layer.name, f"output of {layer.label}", output_words(at), born, dies, layer))
    return found


def _is_unloaded(placed: PlacedNetwork, at: PlacedLayer) -> bool:
    place = (at.out_offset, at.output_map)
    return any((item.offset, item.processors) == place for item in placed.placement.unload)


def _input_value(placed: PlacedNetwork, when: dict[str, int]) -> list[Value]:
    start = placed.start
    if start.streaming:
        return []
    readers = [when[reader.name] for reader in placed.network.readers(INPUT)]
    return [Value(INPUT, "input data", [input_words(start)], -1, max(readers, default=0))]


def _buffer_value(placed: PlacedNetwork) -> list[Value]:
    buffer, where = placed.network.buffer, placed.placement.buffer
    if buffer is None or where is None:
        return []
    count = buffer.size[0] * buffer.size[1] * -(-buffer.channels // 64)
    words = [Words(instances_of(where.processors), where.offset // 4, 1, count)]
    return [Value(BUFFER, f"rolling buffer {buffer.name}", words, -1, ALWAYS)]
