"""Steps of the accelerator recorded during a run of a model, and the way in which each step reads its data."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from ai8x_tool.network.layer import INPUT, Layer, Pair, Source

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class OperandReading:
    """Reading of one operand: steps joined along the channels, each cropped and reshaped to `in_size` pixels.

    An `in_size` of (0, 0) stands for the size of the sources; `flatten` makes every pixel a channel.
    """

    sources: tuple[Step, ...]
    in_size: Pair = (0, 0)
    crop: Pair = (0, 0)
    flatten: bool = False

    @property
    def size(self) -> Pair:
        """(rows, columns) of the data that are read."""
        return self.in_size if self.in_size != (0, 0) else self.sources[0].shape[1:]

    @property
    def values(self) -> int:
        """Number of values that are read from one source."""
        return self.sources[0].shape[0] * self.size[0] * self.size[1]

    @property
    def plain(self) -> bool:
        """True if the sources are read unchanged."""
        return self.in_size == (0, 0) and self.crop == (0, 0) and not self.flatten


@dataclass(eq=False)
class Step:
    """One operation on (channels, rows, columns): a layer whose inputs are the `operands`.

    `first` is the tag of its first output value; `module` is the module that computes it. The network's input is a step
    without layer. `separate` marks an activation that has not been merged with a layer yet.
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
        """The layer; not defined for the network's input."""
        assert self.layer is not None
        return self.layer

    @property
    def label(self) -> str:
        """The designation of the step in messages."""
        return "the network's input" if self.layer is None else repr(self.layer.name)

    @property
    def source(self) -> Source:
        """The source by which layers refer to the step in their inputs."""
        return INPUT if self.layer is None else self.layer.name
