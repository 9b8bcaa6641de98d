"""Subjects of rules about placed layers."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.mapping.hardware import HardwareView
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network


class LayerSubject:
    """One placed layer (`at`) of a placed network.

    `network` and `layer` describe the computation, `view` is the layer as the hardware executes it, `options` contain
    the input path.
    """

    def __init__(self, placed: PlacedNetwork, at: PlacedLayer) -> None:
        self.placed, self.at = placed, at
        self.network: Network = placed.network
        self.layer: Layer = at.layer
        self.view: HardwareView = at.view
        self.options: MappingOptions = placed.options
        self.device: Device = placed.device

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.at.layer.where

    @property
    def is_start(self) -> bool:
        """True for the layer executed first."""
        return self.at.layer is self.placed.start.layer

    @property
    def is_final(self) -> bool:
        """True for the layer executed last."""
        return self.at.layer is self.placed.final.layer

    @property
    def previous(self) -> PlacedLayer | None:
        """The layer executed before, None for the first."""
        return None if self.at.previous is None else self.placed[self.at.previous]

    @property
    def next(self) -> PlacedLayer | None:
        """The layer executed after, None for the last."""
        return None if self.at.next is None else self.placed[self.at.next]

    @property
    def reads_previous(self) -> bool:
        """True if the layer reads only the output of the layer executed before."""
        return self.previous is not None and self.layer.inputs == (self.previous.layer.name,)


@dataclass(frozen=True)
class SourceRegion:
    """Place of one source of a layer: processors, byte offset, gap in words, and number of pixels."""

    name: str
    processors: int
    offset: int
    gap: int
    pixels: int


def source_region(placed: PlacedNetwork, source: Source) -> SourceRegion | None:
    """Return the place of `source` in data memory; None for a rolling buffer without a place."""
    if source is BUFFER:
        buffer, where = placed.network.buffer, placed.placement.buffer
        if buffer is None or where is None:
            return None
        return SourceRegion(buffer.name, where.processors, where.offset, 0, buffer.size[0] * buffer.size[1])
    if source is INPUT:
        start = placed.start
        pixels = start.layer.in_size[0] * start.layer.in_size[1]
        return SourceRegion("input", start.own_processors, start.input_offset, 0, pixels)
    at = placed[str(source)]
    pixels = at.layer.out_size[0] * at.layer.out_size[1]
    return SourceRegion(at.layer.label, at.output_map, at.out_offset, at.write_gap, pixels)
