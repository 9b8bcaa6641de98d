"""Rules about the registers and the compute cache that streaming layers need."""

from __future__ import annotations

import math

from ai8x_tool.device.bits import ceil_div
from ai8x_tool.mapping.hardware import tram_depth
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.mapping.rules.subject import LayerSubject
from ai8x_tool.mapping.streaming import stream_values
from ai8x_tool.rule import Finding


def constraint_stream_step(s: LayerSubject) -> Finding | None:
    """The step from row to row of a stream must not exceed the limit of its register."""
    if not s.at.streaming and not s.is_start:
        return None
    limit, step = s.device.delta2_limit, stream_values(s.at, s.placed).delta2
    step += int(s.device.pipeline and s.is_start and step > 0)  # the pipeline needs one more word
    if step < limit:
        return None
    values = f"streaming needs a row step of {step} words, the {s.device.name} supports less than {limit}"
    return Finding(values, "reduce pooling or the width of the data")


def constraint_stream_start(s: LayerSubject) -> Finding | None:
    """The first streaming layer must start before the whole frame is in its FIFO."""
    if not (s.options.fifo and s.is_start and s.at.streaming):
        return None
    (rows, columns), start = s.view.in_size, stream_values(s.at, s.placed).start
    words = ceil_div(rows * columns, 4 if s.at.chw else 1)
    if start <= words:
        return None
    return Finding(f"starts after {start} words, a frame has {words}", "pool less, or do not stream such small data")


def constraint_fifo_rows(s: LayerSubject) -> Finding | None:
    """A widely dilated Conv1d that reads from a FIFO must fill whole rows of the shape that executes it."""
    if not (s.options.fifo and s.is_start):
        return None
    (rows, columns), arriving = s.view.in_size, math.prod(s.layer.in_size)
    if rows * columns <= arriving:
        return None
    values = f"{arriving} samples in {rows} rows of {columns}, which the layer waits for"
    return Finding(values, f"use a length that is a multiple of the dilation, {columns}, or no FIFO")


def constraint_tram(s: LayerSubject) -> Finding | None:
    """The padded rows of all streaming layers must fit the compute cache (TRAM)."""
    if not s.at.streaming or s.layer.index == 0 or s.view.operator == "conv1d":
        return None
    before = [at for at in s.placed.layers if at.layer.index < s.layer.index]
    entries = sum(tram_depth(at.layer, at.view) * at.view.input_passes for at in before)
    limit = s.device.tram_pointer_limit
    if entries < limit:
        return None
    values = (
        f"TRAM exhausted: the preceding streaming layers need {entries} entries (padded row − kernel + 1, times "
        f"passes), the {s.device.name} has {limit}"
    )
    return Finding(values, "stream fewer layers, or narrower data")


def constraint_chw_passes(s: LayerSubject) -> Finding | None:
    """CHW input in data memory can have at most 64 channels and one operand."""
    if s.options.fifo or not s.at.chw or (s.view.input_passes == 1 and s.layer.operands == 1):
        return None
    return Finding(f"{s.layer.channels_in} channels, {s.layer.operands} operands", "use HWC format")


def constraint_chw_flatten(s: LayerSubject) -> Finding | None:
    """A layer that flattens cannot read CHW input: it reads pixels as passes."""
    wrong = s.at.chw and s.layer.flat_pixels > 1
    return Finding(f"flatten: {s.layer.flat_pixels} pixels", "use HWC format") if wrong else None


def constraint_fifo_order(s: LayerSubject) -> Finding | None:
    """FIFOs must be used from 0 on without gaps: 4 channels each in HWC format (processors 0–3), one each in CHW."""
    if not (s.options.fifo and s.is_start):
        return None
    channels, chw = s.layer.channels_in, s.at.chw
    used = [q for q in range(4) if s.at.own_processors >> 16 * q & (1 if chw else 0xF)]
    needed = channels if chw else -(-channels // LANES)
    wrong = used != list(range(needed)) if chw else max(used[:needed], default=needed) >= needed
    values = f"{channels} channels {'CHW' if chw else 'HWC'} need FIFOs 0 … {needed - 1}, processors use {used}"
    return Finding(values, "use the processors of the first quadrants") if wrong else None


STREAMING_RULES = (
    constraint_chw_passes,
    constraint_chw_flatten,
    constraint_fifo_order,
    constraint_tram,
    constraint_stream_step,
    constraint_stream_start,
    constraint_fifo_rows,
)
