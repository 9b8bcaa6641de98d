"""What a run of a model consists of: steps that the accelerator does, and how each of them reads its data."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from ai8x_tool.network.layer import INPUT, Layer, Pair, Source

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class OperandReading:
    """How one operand is read: steps joined along the channels, each cropped and taken as `in_size` pixels.

    `in_size` is (0, 0) where it is the size of the sources; `flatten` makes every pixel a channel.
    """

    sources: tuple[Step, ...]
    in_size: Pair = (0, 0)
    crop: Pair = (0, 0)
    flatten: bool = False

    @property
    def size(self) -> Pair:
        """(rows, columns) of what is read."""
        return self.in_size if self.in_size != (0, 0) else self.sources[0].shape[1:]

    @property
    def values(self) -> int:
        """Number of values that are read, for one source."""
        return self.sources[0].shape[0] * self.size[0] * self.size[1]

    @property
    def plain(self) -> bool:
        """True if the sources are read as they are."""
        return self.in_size == (0, 0) and self.crop == (0, 0) and not self.flatten


@dataclass(eq=False)
class Step:
    """One operation on (channels, rows, columns): a layer but for its inputs, which are the `operands`.

    `first` is the tag of its first output value; `module` is the module that computes it. The network's input is a step
    without layer. `separate` says of an activation that stands alone that it waits for a layer to belong to.
    """

    shape: Shape
    first: int
    layer: Layer | None = None
    operands: list[OperandReading] = field(default_factory=list)
    module: nn.Module | None = None
    separate: bool = False

    @property
    def values(self) -> int:
        """Number of output values."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def is_input(self) -> bool:
        """True for the network's input."""
        return self.layer is None

    @property
    def draft(self) -> Layer:
        """The layer; not for the network's input."""
        assert self.layer is not None
        return self.layer

    @property
    def label(self) -> str:
        """The step as messages name it."""
        return "the network's input" if self.layer is None else repr(self.layer.name)

    @property
    def source(self) -> Source:
        """What a layer that reads it has among its inputs."""
        return INPUT if self.layer is None else self.layer.name
