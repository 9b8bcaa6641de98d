"""Network descriptions as typed data with source lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ai8x_tool.mapping.placement import UnloadItem
from ai8x_tool.network.layer import Activation, Eltwise, Operator, Pair

INPUT = -1
BUFFER = -2
STOP = -3
"""References that are not layers: the network's input, the rolling buffer, the end of the network."""


@dataclass(frozen=True)
class LayerDescription:
    """One item of `layers`. None stands for a key that is not given and has no fixed default."""

    index: int
    line: int
    processors: int | None = None
    name: str | None = None
    operator: Operator = "conv2d"
    eltwise: Eltwise | None = None
    operands: int = 1
    pool_first: bool = True
    groups: int = 1
    activation: Activation = "none"
    kernel: Pair = (3, 3)
    dilation: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (1, 1)
    output_pad: Pair = (0, 0)
    pool: Pair = (1, 1)
    pool_average: bool = False
    pool_stride: Pair = (1, 1)
    pool_dilation: Pair = (1, 1)
    quantization: int | None = None
    output_shift: int | None = None
    output_width: int = 8
    chw: bool = False
    layout_given: bool = False
    in_channels: int | None = None
    out_channels: int | None = None
    in_dim: Pair | None = None
    in_crop: Pair = (0, 0)
    in_channel_skip: int = 0
    flatten: bool = False
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
    in_sequences: tuple[int, ...] | None = None
    next_sequence: int | None = None
    simulated_sequence: int | None = None
    snoop_sequence: int | None = None
    output: bool = False
    weight_source: int | None = None
    bypass: bool = False
    buffer_shift: int = 0
    buffer_insert: int = 0

    @property
    def label(self) -> str:
        """The layer's designation in messages: its index and, if it has one, its name."""
        return f"layer {self.index} ({self.name})" if self.name else f"layer {self.index}"

    @property
    def has_pool(self) -> bool:
        """True if the layer pools windows of more than one value."""
        return self.pool != (1, 1)

    @property
    def takes_parameters(self) -> bool:
        """True if the layer needs an entry of the checkpoint."""
        return self.operator != "none" and not self.bypass and self.weight_source is None


@dataclass(frozen=True)
class DataBuffer:
    """The rolling buffer: `dim` = (length, width), zero at start."""

    name: str
    processors: int
    channels: int
    dim: Pair
    offset: int


@dataclass(frozen=True)
class NetworkDescription:
    """A parsed network description."""

    path: Path
    arch: str
    dataset: str
    layers: tuple[LayerDescription, ...]
    output_map: int | None = None
    unload: tuple[UnloadItem, ...] = ()
    data_buffer: DataBuffer | None = None
    snoop: tuple[int, ...] | None = None
    test_weights: str | None = None
    test_bias: str | None = None

    @property
    def is_test(self) -> bool:
        """True if the weights are read from NumPy files instead of a checkpoint."""
        return self.arch.lower() == "test"

    @property
    def is_placed(self) -> bool:
        """True if all layers have processors; in other descriptions, places that are not given are left open."""
        return all(layer.processors is not None for layer in self.layers)

    def where(self, layer: LayerDescription) -> str:
        """Return file, line and name of `layer`, for messages."""
        return f"{self.path}:{layer.line}: {layer.label}"
