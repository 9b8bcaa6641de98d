"""Insertion of copies before operations that can read only whole outputs of distinct layers."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.frontend.torch.recorder import Recorder
from ai8x_tool.frontend.torch.steps import OperandReading, Step
from ai8x_tool.network.layer import Layer, Pair


def whole(recorder: Recorder, reading: OperandReading, name: str) -> OperandReading:
    """Return a reading of one whole step: `reading` itself, or a copy of the data if it reads anything else."""
    flat = reading.flatten and reading.in_size == (0, 0)
    if len(reading.sources) == 1 and (reading.plain or flat):
        return OperandReading(reading.sources)
    return OperandReading((copy(recorder, reading, name),))


def distinct_operands(recorder: Recorder, readings: list[OperandReading], name: str) -> list[OperandReading]:
    """Return readings of one step each, with a copy of every step that a preceding operand already reads."""
    joined = OperandReading(tuple(reading.sources[0] for reading in readings))
    sources = distinct_sources(recorder, joined, name).sources
    return [OperandReading((source,)) for source in sources]


def distinct_sources(recorder: Recorder, reading: OperandReading, name: str) -> OperandReading:
    """Return `reading` with repeated sources replaced by copies."""
    sources: list[Step] = []
    for source in reading.sources:
        sources.append(copy(recorder, OperandReading((source,)), name) if source in sources else source)
    return _joined(recorder, replace(reading, sources=tuple(sources)), name)


def _joined(recorder: Recorder, reading: OperandReading, name: str) -> OperandReading:
    """Return `reading` with a copy of its sources, joined along the channels, if they are cropped or reshaped."""
    changed = reading.in_size != (0, 0) or any(reading.crop)
    if len(reading.sources) == 1 or not changed or len({source.shape[1:] for source in reading.sources}) > 1:
        return reading
    return replace(reading, sources=(copy(recorder, OperandReading(reading.sources), name),))


def copy(recorder: Recorder, reading: OperandReading, name: str) -> Step:
    """Record a layer without operator that reads `reading`, for the layer `name`."""
    reading = _joined(recorder, reading, name)
    size: Pair = data_size(reading)
    joined_pixels = len({source.shape[1:] for source in reading.sources}) > 1
    channels = reading.sources[0].shape[0] if joined_pixels else sum(s.shape[0] for s in reading.sources)
    layer = Layer(recorder.unique_name(f"{name}_copy"), (), "none", source=recorder.calling_source)
    return recorder.add(layer, [OperandReading(reading.sources, reading.in_size, reading.crop)], (channels, *size))


def data_size(reading: OperandReading) -> Pair:
    """Return (rows, columns) of the data that are read."""
    return reading.in_size if reading.in_size != (0, 0) else reading.sources[0].shape[1:]
