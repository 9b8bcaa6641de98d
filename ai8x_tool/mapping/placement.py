"""Placements: memory places and execution order, which a description contains in addition to the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ai8x_tool.network.layer import Pair
from ai8x_tool.network.network import Network


@dataclass(frozen=True)
class LayerPlacement:
    """Placement of one layer. None stands for values that are not decided yet.

    `processors` has a bit for each processor that reads the layer's input channels, `output_processors` for each one to
    whose data memory the output is written. Offsets are bytes in every data-memory instance; gaps are the words left
    free after each word. `bias_groups` are the quadrants whose bias memory may be used (None: all in use).

    `streaming` layers run while their input arrives. `readahead` and `calcx4` are faster modes of computation on
    devices that have them; `tcalc` belongs to `readahead` (None: as the device needs it). `snoop_target` is the layer
    executed next if the condition of conditional execution holds.
    """

    processors: int | None = None
    output_processors: int | None = None
    in_offset: int | None = None
    out_offset: int | None = None
    write_gap: int = 0
    read_gap: int = 0
    bias_groups: tuple[int, ...] | None = None
    streaming: bool = False
    readahead: bool = False
    tcalc: bool | None = None
    calcx4: bool = False
    snoop_target: str | None = None

    @property
    def is_complete(self) -> bool:
        """True if processors and offsets are decided."""
        return None not in (self.processors, self.output_processors, self.in_offset, self.out_offset)


@dataclass(frozen=True)
class UnloadItem:
    """Data that ``cnn_unload()`` copies, if the description lists them. `size` is (rows, columns)."""

    processors: int
    channels: int
    size: Pair
    offset: int
    width: int = 8
    write_gap: int = 0


@dataclass(frozen=True)
class BufferPlacement:
    """Place of the rolling buffer: processors and byte offset."""

    processors: int
    offset: int


@dataclass(frozen=True)
class Placement:
    """Placements of all layers of a network, and the order of execution.

    `order` contains the names of the layers in the order of execution. `chw`: the input is stored channel by channel,
    four pixels per word, instead of pixel by pixel; `layout_given` is whether this is decided. `simulated` are the
    layers that run for the sample of the known-answer test if conditional execution skips some; `snoop` are the
    registers of conditional execution.
    """

    layers: Mapping[str, LayerPlacement]
    order: tuple[str, ...]
    chw: bool = False
    unload: tuple[UnloadItem, ...] = ()
    buffer: BufferPlacement | None = None
    snoop: tuple[int, ...] | None = None
    simulated: tuple[str, ...] | None = None
    layout_given: bool = field(default=False, compare=False)

    @property
    def start(self) -> str:
        """The layer executed first."""
        return self.order[0]

    @property
    def final(self) -> str:
        """The layer executed last."""
        return self.order[-1]

    def missing(self) -> list[str]:
        """Return the names of the layers that are not completely placed, in execution order."""
        return [name for name in self.order if name not in self.layers or not self.layers[name].is_complete]


def nothing_placed(network: Network) -> Placement:
    """Return a placement of `network` in which nothing is decided."""
    names = tuple(layer.name for layer in network.layers)
    return Placement({name: LayerPlacement() for name in names}, names)
