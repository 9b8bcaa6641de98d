"""Rules about the sample and about outputs of the program."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import Layer
from ai8x_tool.rule import Finding


class SampleInput(NamedTuple):
    """A sample of `shape` (channels, rows, columns) for the layer executed first.

    `words` is the number of words of a synthesized input, None for an ordinary one.
    """

    at: PlacedLayer
    shape: tuple[int, int, int]
    fifo: bool = False
    words: int | None = None

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.at.where

    @property
    def pixels(self) -> int:
        """Number of pixels of one channel."""
        return self.shape[1] * self.shape[2]


class FinalOutput(NamedTuple):
    """An output of the network and its use in the program. `collectable`: the byte collector can copy it."""

    layer: Layer
    softmax: bool = False
    mlator: bool = False
    collectable: bool = True
    zero: bool = False

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.layer.where


def constraint_synthesized_fifo(s: SampleInput) -> Finding | None:
    """Synthesized input must go through a FIFO (--fifo), in HWC format."""
    if s.words is None or (s.fifo and not s.at.chw):
        return None
    return Finding("data_format = CHW" if s.at.chw else "no FIFO", "leave out --synthesize-input")


def constraint_synthesized_sample(s: SampleInput) -> Finding | None:
    """Synthesized input must have 1 to 4 channels, and pixels that are a multiple of its words."""
    if s.words is None or (s.shape[0] <= LANES and s.words > 0 and s.pixels % s.words == 0):
        return None
    return Finding(f"{s.shape[0]} channels, {s.pixels} pixels, {s.words} words")


def constraint_sample_shape(s: SampleInput) -> Finding | None:
    """The sample must have the channels and pixels that the first layer expects."""
    layer = s.at.layer
    channels, pixels = layer.channels_in * layer.operands, layer.in_size[0] * layer.in_size[1]
    if s.shape[0] == channels and s.pixels == pixels + sum(layer.in_crop) * layer.in_size[1]:
        return None
    expected = f"{channels}×{layer.in_size[0]}×{layer.in_size[1]}"
    values = f"the sample is {'×'.join(map(str, s.shape))}, the first layer expects {expected}"
    return Finding(values, "pass a sample of this network with --sample-input")


def caution_softmax_width(s: FinalOutput) -> Finding | None:
    """--softmax should be used with 32-bit output (output_width: 32)."""
    return Finding("output_width = 8", "set output_width: 32") if s.softmax and s.layer.output_width == 8 else None


def caution_mlator(s: FinalOutput) -> Finding | None:
    """The byte collector (--mlator) copies only 8-bit outputs whose number of pixels is a multiple of 4."""
    if not s.mlator or s.collectable:
        return None
    return Finding("some outputs have 32 bits, a final scale or another number of pixels, and are copied without it")


def caution_zero_output(s: FinalOutput) -> Finding | None:
    """The outputs of a known-answer test should not all be 0."""
    return Finding("all outputs are 0 for this sample", "use another sample") if s.zero else None


SYNTHESIZED_RULES = (constraint_synthesized_fifo, constraint_synthesized_sample)
PROGRAM_RULES = (
    caution_zero_output,
    caution_softmax_width,
    caution_mlator,
)
SAMPLE_RULES = (*SYNTHESIZED_RULES, constraint_sample_shape)
