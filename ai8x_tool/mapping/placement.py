"""Where everything is to live, and when it is to run: what a description says besides what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ai8x_tool.network.layer import Pair
from ai8x_tool.network.network import Network


@dataclass(frozen=True)
class LayerPlacement:
    """Where and how one layer runs. None stands for what is not decided yet.

    `processors` has a bit for each processor that reads the layer's input channels, `output_processors` for each one
    whose data memory the output goes to. Offsets are bytes in every data-memory instance, gaps are words: what is left
    free after each word. `bias_groups` are the quadrants whose bias memory may be used (None: all in use).

    `streaming` layers run while their input arrives. `readahead` and `calcx4` are faster ways to compute on devices
    that have them; `tcalc` belongs to `readahead` (None: as the device needs it). `snoop_target` is the layer that runs
    next where conditional execution says so.
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
        """True if nothing is left to decide."""
        return None not in (self.processors, self.output_processors, self.in_offset, self.out_offset)


@dataclass(frozen=True)
class UnloadItem:
    """Data that ``cnn_unload()`` copies, where the description lists them. `size` is (rows, columns)."""

    processors: int
    channels: int
    size: Pair
    offset: int
    width: int = 8
    write_gap: int = 0


@dataclass(frozen=True)
class BufferPlacement:
    """Where the rolling buffer lives: processors and byte offset."""

    processors: int
    offset: int


@dataclass(frozen=True)
class Placement:
    """Where every layer of a network lives, and the order in which they run.

    `order` holds the names of the layers as executed. `chw`: the input is stored channel by channel, four pixels to a
    word, instead of pixel by pixel; `layout_given`: that is decided. `simulated` are the layers that run for the sample
    of the known-answer test, where conditional execution skips some; `snoop` holds the registers of conditional
    execution.
    """

    layers: Mapping[str, LayerPlacement]
    order: tuple[str, ...]
    chw: bool = False
    unload: tuple[UnloadItem, ...] = ()
    buffer: BufferPlacement | None = None
    snoop: tuple[int, ...] | None = field(default=None)
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
        """Return the layers that are not completely placed, in order."""
        return [name for name in self.order if name not in self.layers or not self.layers[name].is_complete]


def nothing_placed(network: Network) -> Placement:
    """Return a placement that leaves everything open."""
    names = tuple(layer.name for layer in network.layers)
    return Placement({name: LayerPlacement() for name in names}, names)
