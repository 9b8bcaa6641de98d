"""Conversion of a sample to words for data memory or FIFOs."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device.bits import bit_indices, ceil_div
from ai8x_tool.lowering.options import Context, SynthesizedInput
from ai8x_tool.lowering.program_rules import SampleInput, constraint_synthesized_sample
from ai8x_tool.lowering.steps import InputBlock, Words
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import Layer
from ai8x_tool.rule import require


def input_blocks(context: Context, sample: Words) -> list[InputBlock]:
    """Return the input words; `sample` is (channels, rows, columns) of −128…127, with the operands concatenated."""
    mapped = context.mapping.start
    data = sample.reshape(mapped.layer.operands, -1, sample.shape[1] * sample.shape[2]).astype(np.int8).view(np.uint8)
    if context.fifo:
        blocks = _fifo_chw(data[0]) if mapped.chw else _fifo_hwc(context, data[0])
        pattern = context.options.synthesized_input
        return blocks if pattern is None else [InputBlock(b.name, 0, b.words[: pattern.words]) for b in blocks]
    return _chw(context, data) if mapped.chw else _hwc(context, data)


def synthesize_sample(sample: Words, pattern: SynthesizedInput, start: PlacedLayer) -> Words:
    """Return the sample that the program synthesizes from the first words of `sample` (channels, rows, columns).

    `start` is the network's first layer. Raises Ai8xError for more than four channels, or if the number of pixels is
    not a multiple of the number of words.
    """
    channels, pixels = sample.shape[0], sample.shape[1] * sample.shape[2]
    subject = SampleInput(start, (channels, *sample.shape[1:]), words=pattern.words)
    require(constraint_synthesized_sample, subject)
    lanes = np.zeros((pixels, LANES), np.uint8)
    lanes[:, :channels] = sample.reshape(channels, -1).T.astype(np.int8).view(np.uint8)
    words = repeat_pattern(_words(lanes)[: pattern.words], pattern, start.layer)
    values = np.ascontiguousarray(words.astype("<u4").reshape(-1, 1)).view(np.int8)[:, :channels]
    return np.ascontiguousarray(values.T.astype(np.int64).reshape(sample.shape))


def repeat_pattern(words: Words, pattern: SynthesizedInput, start: Layer) -> Words:
    """Return all words that the program synthesizes from the first `words`; `start` is the network's first layer."""
    rounds = np.arange(start.in_size[0] * start.in_size[1] // pattern.words, dtype=np.int64)[:, None]
    mask = (1 << 8 * start.channels_in) - 1
    return ((words.astype(np.int64) + rounds * pattern.increment) & mask).reshape(-1)


def _words(lanes: Words) -> Words:
    """Return uint32 words made of the four bytes of the last axis, the first one in the lowest bits."""
    return np.ascontiguousarray(lanes).view("<u4")[..., 0].astype(np.uint32)


def _hwc(context: Context, data: Words) -> list[InputBlock]:
    """Return one word per pixel, pass and operand for each data instance; the byte lane is that of the processor."""
    mapped = context.mapping.start
    passes, per_pass = mapped.view.input_passes, mapped.view.inputs_per_pass
    operands, channels, pixels = data.shape
    padded = np.zeros((operands, passes * per_pass, pixels), np.uint8)
    padded[:, :channels] = data
    by_pass = padded.reshape(operands, passes, per_pass, pixels)
    blocks = []
    ranks = {processor: rank for rank, processor in enumerate(bit_indices(mapped.own_processors))}
    for first in range(0, 64, LANES):
        used = [p for p in range(first, first + LANES) if p in ranks]
        if not used:
            continue
        lanes = np.zeros((pixels, passes, operands, LANES), np.uint8)
        for processor in used:
            lanes[..., processor - first] = by_pass[:, :, ranks[processor]].transpose(2, 1, 0)
        address = context.device.instance(first) + mapped.input_offset
        blocks.append(InputBlock(first, address, _words(lanes).reshape(-1)))
    return blocks


def _four_pixels(channel: Words) -> Words:
    padded = np.zeros(ceil_div(len(channel), LANES) * LANES, np.uint8)
    padded[: len(channel)] = channel
    return _words(padded.reshape(-1, LANES))


def _chw(context: Context, data: Words) -> list[InputBlock]:
    """Return words of four pixels each, one block per channel and processor."""
    mapped = context.mapping.start
    offset = mapped.input_offset
    return [
        InputBlock(processor, context.device.instance(processor) + offset, _four_pixels(channel))
        for processor, channel in zip(bit_indices(mapped.own_processors), data[0], strict=False)
    ]


def _fifo_hwc(context: Context, data: Words) -> list[InputBlock]:
    mapped = context.mapping.start
    quadrants = [q for q in range(4) if mapped.own_processors >> 16 * q & 0xF]
    count = ceil_div(len(data), LANES)
    blocks: dict[int, Words] = {}
    for group in range(count):
        fifo = quadrants[group % len(quadrants)]
        lanes = np.zeros((data.shape[1], LANES), np.uint8)
        for lane in range(LANES):
            channel = LANES * group + lane
            if mapped.own_processors >> (16 * fifo + lane) & 1 and channel < len(data):
                lanes[:, lane] = data[channel]
        blocks[fifo] = _words(lanes)
    return [InputBlock(fifo, 0, blocks[fifo]) for fifo in sorted(blocks)]


def _fifo_chw(data: Words) -> list[InputBlock]:
    return [InputBlock(fifo, 0, _four_pixels(channel)) for fifo, channel in enumerate(data)]
