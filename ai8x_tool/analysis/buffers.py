"""Buffers in data memory: their addresses and lifetimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ai8x_tool.analysis.layer_metrics import source_name
from ai8x_tool.analysis.result import LayerMetrics
from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.mapping.mapping import Mapping
from ai8x_tool.mapping.occupancy import execution_steps, rolling_buffers, stored_values
from ai8x_tool.mapping.streaming import ends_stream
from ai8x_tool.mapping.words import Words
from ai8x_tool.network.layer import INPUT, Layer, Source

INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE
_BEFORE = -1


@dataclass(frozen=True)
class DataBuffer:
    """A value in data memory: `words`, from step `born` (−1: before the first layer) to step `dies`, inclusively.

    Values that are needed after the last layer die one step after it. `producer` is the layer, or else the host, that
    writes the value; `readers` are the layers that read it. `layer` is the index of the producer, None for the host.
    """

    name: str
    words: tuple[Words, ...]
    born: int
    dies: int
    producer: str
    readers: tuple[str, ...]
    layer: int | None = None

    @property
    def bytes(self) -> int:
        """Bytes in all instances together."""
        return sum(4 * words.length * words.run * words.instances.bit_count() for words in self.words)

    def instance_words(self, instance: int) -> list[Words]:
        """Return the words in one instance."""
        return [words for words in self.words if words.instances >> instance & 1]


def layer_key(layer: LayerMetrics) -> str:
    """Return the name by which other layers refer to a layer."""
    return layer.name or str(layer.index)


def data_buffers(mapping: Mapping) -> tuple[DataBuffer, ...]:
    """Return all buffers in data memory, ordered by the step in which they are written."""
    placed, when = mapping.placed, execution_steps(mapping.placed)
    end = len(when)
    found = [
        DataBuffer(
            _value_name(mapping, value.source),
            tuple(value.words),
            value.born,
            min(value.dies, end),
            "the host" if value.layer is None else short_label(value.layer),
            _readers(mapping, value.source),
            None if value.layer is None else value.layer.index,
        )
        for value in stored_values(placed)
    ]
    last = max((when[at.layer.name] for at in placed.layers if at.streaming and ends_stream(at, placed)), default=0)
    for ring in rolling_buffers(placed):
        source, reader = ring.at.layer.inputs[0], ring.at.layer
        name = f"rolling buffer: {_value_name(mapping, source)}"
        writer = None if source is INPUT else mapping.network[str(source)]
        producer, index = ("the host", None) if writer is None else (short_label(writer), writer.index)
        found.append(DataBuffer(name, (ring.words,), 0, last, producer, (short_label(reader),), index))
    return tuple(sorted(found, key=lambda buffer: buffer.born))


def short_label(layer: Layer) -> str:
    """Return the number and the name of a layer."""
    return f"{layer.index} {layer.name}" if layer.is_named else str(layer.index)


def _value_name(mapping: Mapping, source: Source) -> str:
    if not isinstance(source, str):
        return source_name(source)
    layer = mapping.network[source]
    return layer.name if layer.is_named else f"output of {layer.label}"


def _readers(mapping: Mapping, source: Source) -> tuple[str, ...]:
    found = [short_label(layer) for layer in mapping.network.readers(source)]
    outside = not isinstance(source, str) or not mapping.network[source].output
    return tuple(found) if outside else (*found, "the host")


def fullest_instance(buffers: Sequence[DataBuffer], words: int) -> tuple[int, int, int]:
    """Return the most words that are in use at a time in any instance, that instance, and the step.

    `words` is the number of words of an instance.
    """
    best = 0, 0, _BEFORE
    for step in sorted({buffer.born for buffer in buffers}):
        used = np.zeros((INSTANCES, words), bool)
        for buffer in buffers:
            if buffer.born <= step <= buffer.dies:
                for part in buffer.words:
                    positions = part.positions()
                    for instance in range(INSTANCES):
                        if part.instances >> instance & 1:
                            used[instance, positions[positions < words]] = True
        counts = used.sum(axis=1)
        instance = int(counts.argmax())
        best = max(best, (int(counts[instance]), instance, step), key=lambda entry: entry[0])
    return best
