"""Rules about the sample, and about values of the program. spec: memory, section 6; registers, sections 7.16 and 8."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.network.network import Layer
from ai8x_tool.rule import Finding

_LANES = 4


class SampleInput(NamedTuple):
    """A sample of `shape` (channels, rows, columns) for the first layer, which reads it in `passes`.

    `words` are the words of a synthesized input, None for an ordinary one.
    """

    layer: Layer
    shape: tuple[int, int, int]
    fifo: bool = False
    passes: int = 1
    words: int | None = None

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.layer.where

    @property
    def pixels(self) -> int:
        """Pixels of one channel."""
        return self.shape[1] * self.shape[2]


class StreamedLayer(NamedTuple):
    """A layer with the row step of its stream, and the TRAM entries of the streaming layers before it."""

    layer: Layer
    device: Device
    step: int = 0
    entries: int = 0

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.layer.where


class FinalOutput(NamedTuple):
    """An output of the network, and what the program makes of it. `collectable`: the byte collector can copy it."""

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
    """Synthesized input goes through a FIFO (--fifo), in HWC format."""
    if s.words is None or (s.fifo and not s.layer.chw):
        return None
    return Finding("data_format = CHW" if s.layer.chw else "no FIFO", "leave out --synthesize-input")


def constraint_synthesized_sample(s: SampleInput) -> Finding | None:
    """Synthesized input has 1 to 4 channels, and pixels that are a multiple of its words."""
    if s.words is None or (s.shape[0] <= _LANES and s.words > 0 and s.pixels % s.words == 0):
        return None
    return Finding(f"{s.shape[0]} channels, {s.pixels} pixels, {s.words} words")


def constraint_sample_shape(s: SampleInput) -> Finding | None:
    """The sample has the channels and pixels that the first layer expects."""
    layer = s.layer
    channels, pixels = layer.channels_in * layer.operands, layer.in_size[0] * layer.in_size[1]
    if s.shape[0] == channels and s.pixels == pixels + sum(layer.in_crop) * layer.in_size[1]:
        return None
    expected = f"{channels}×{layer.in_size[0]}×{layer.in_size[1]}"
    values = f"the sample is {'×'.join(map(str, s.shape))}, the first layer expects {expected}"
    return Finding(values, "give a sample of this network with --sample-input")


def constraint_chw_passes(s: SampleInput) -> Finding | None:
    """CHW input in data memory has at most 64 channels and one operand."""
    if s.fifo or not s.layer.chw or (s.passes == 1 and s.layer.operands == 1):
        return None
    return Finding(f"{s.layer.channels_in} channels, {s.layer.operands} operands", "use HWC format")


def constraint_fifo_order(s: SampleInput) -> Finding | None:
    """FIFOs are used from 0 on without holes: 4 channels each in HWC format (processors 0–3), one each in CHW."""
    if not s.fifo:
        return None
    layer, channels = s.layer, s.shape[0] // s.layer.operands
    used = [q for q in range(4) if layer.processors >> 16 * q & (1 if layer.chw else 0xF)]
    needed = channels if layer.chw else -(-channels // _LANES)
    wrong = used != list(range(needed)) if layer.chw else max(used[:needed], default=needed) >= needed
    values = f"{channels} channels {'CHW' if layer.chw else 'HWC'} need FIFOs 0 … {needed - 1}, processors use {used}"
    return Finding(values, "use the processors of the first quadrants") if wrong else None


def constraint_stream_step(s: StreamedLayer) -> Finding | None:
    """The step from row to row of a stream is limited by its register."""
    limit = s.device.delta2_limit
    if s.step < limit:
        return None
    values = f"streaming needs a row step of {s.step} words, the {s.device.name} supports less than {limit}"
    return Finding(values, "reduce pooling or the width of the data")


def constraint_tram(s: StreamedLayer) -> Finding | None:
    """The padded rows of all streaming layers fit the compute cache (TRAM)."""
    limit = s.device.tram_pointer_limit
    if s.entries < limit:
        return None
    values = (
        f"TRAM exhausted: the streaming layers before need {s.entries} entries (padded row − kernel + 1, times "
        f"passes), {limit} exist"
    )
    return Finding(values, "stream fewer layers, or narrower data")


def caution_softmax_width(s: FinalOutput) -> Finding | None:
    """softmax is meant for 32-bit output (output_width: 32)."""
    return Finding("output_width = 8", "set output_width: 32") if s.softmax and s.layer.output_width == 8 else None


def caution_mlator(s: FinalOutput) -> Finding | None:
    """The byte collector (--mlator) copies 8-bit outputs whose pixels are a multiple of 4."""
    if not s.mlator or s.collectable:
        return None
    return Finding("some outputs, of 32 bits, with a final scale, or of few or odd pixels, are copied without it")


def caution_zero_output(s: FinalOutput) -> Finding | None:
    """A known-answer test whose outputs are all 0 means little."""
    return Finding("all outputs are 0 for this sample", "give another sample") if s.zero else None


INPUT_RULES = (constraint_chw_passes, constraint_fifo_order)
SYNTHESIZED_RULES = (constraint_synthesized_fifo, constraint_synthesized_sample)
PROGRAM_RULES = (
    caution_zero_output,
    *INPUT_RULES,
    constraint_tram,
    constraint_stream_step,
    caution_softmax_width,
    caution_mlator,
)
SAMPLE_RULES = (*SYNTHESIZED_RULES, constraint_sample_shape)
