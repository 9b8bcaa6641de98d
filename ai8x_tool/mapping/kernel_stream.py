"""The bytes of one layer in kernel memory, as runs of 9-byte columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bit_indices, ceil_div, lowest_bit
from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.network.layer import BINARY, IntArray

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StreamShape:
    """Properties on which the order of a layer's kernels depends.

    `inputs` and `outputs` are channels (inputs before flattening); `pixels` is the number of pixels that a flattening
    layer turns into channels, 1 for other layers.
    """

    output_map: int
    inputs: int
    outputs: int
    input_passes: int
    output_passes: int
    inputs_per_pass: int
    outputs_per_pass: int
    area: int
    bits: int
    pixels: int
    flatten: bool
    depthwise: bool

    @property
    def per_byte(self) -> int:
        """Weights in one byte."""
        return 8 // abs(self.bits)

    @property
    def lead(self) -> int:
        """Unused output processors before the first one, inside its group of four."""
        return lowest_bit(self.output_map) % 4

    def in_first_instance(self) -> StreamShape:
        """Return the shape with its output map moved to the first processors, which does not change the stream."""
        return replace(self, output_map=self.output_map >> (lowest_bit(self.output_map) & ~3))


def stream_shape(at: PlacedLayer) -> StreamShape:
    """Return the properties on which the order of a layer's kernels depends."""
    layer, view = at.layer, at.view
    return StreamShape(
        output_map=at.output_map,
        inputs=layer.channels_in,
        outputs=layer.channels_out,
        input_passes=view.input_passes,
        output_passes=view.output_passes,
        inputs_per_pass=view.inputs_per_pass,
        outputs_per_pass=view.outputs_per_pass,
        area=view.kernel_area,
        bits=layer.bits,
        pixels=layer.flat_pixels,
        flatten=layer.flatten,
        depthwise=layer.depthwise,
    )


@dataclass(frozen=True, eq=False)
class Columns:
    """Consecutive columns: `data` is (processors, columns, 9), byte 0 first; `start` counts from the layer's first."""

    start: int
    data: Bytes


class ByteRun(NamedTuple):
    """Consecutive bytes from column `start` on: `lead` zeros, then the groups from `first` to before `end`."""

    start: int
    lead: int
    first: int
    end: int
    size: int

    @property
    def columns(self) -> int:
        """Columns that the bytes occupy."""
        return ceil_div(self.size, COLUMN_BYTES)


def _gaps(shape: StreamShape) -> list[int]:
    """Return for each group of outputs, in stream order, the number of columns skipped before it."""
    step = shape.per_byte
    rounds = 1 if shape.depthwise else ceil_div(shape.outputs_per_pass, 1 if shape.flatten else step)
    turns = 1 if shape.depthwise else shape.output_passes
    packed = shape.output_map >> lowest_bit(shape.output_map)
    if not packed & packed + 1:  # no holes
        return [0] * rounds * turns
    gaps = []
    for _ in range(turns):
        remaining = packed
        for _ in range(rounds):
            skipped = 0
            while remaining and not remaining & ((1 << step) - 1):
                skipped += 1
                remaining >>= step
            remaining >>= step
            gaps.append(skipped)
    return gaps


def _sizes(shape: StreamShape, groups: int, *, whole: bool) -> list[int]:
    """Return the number of bytes of each group of outputs; `whole`: for processors with a channel in every pass.

    Without a channel or an output, a kernel occupies area/per_byte zero bytes.
    """
    step, passes = shape.per_byte, shape.input_passes
    if shape.flatten:
        length = shape.pixels * passes
        full, rest = divmod(shape.outputs, step)
        sizes = [length] * full + ([ceil_div(rest * length, step)] if rest else [])
        return (sizes + [1 // step] * groups)[:groups]
    present = min(groups, 1 if shape.depthwise else ceil_div(shape.outputs, step))
    short = shape.area // step
    kernels = passes * shape.area if whole else (passes - 1) * shape.area + short
    return [kernels] * present + [passes * short] * (groups - present)


def _runs(shape: StreamShape, gaps: list[int], sizes: list[int]) -> tuple[list[ByteRun], int]:
    """Return the runs of groups, and the first column after them; both include the lead-in for unaligned outputs."""
    column, surplus = divmod(shape.lead * shape.area * (1 if shape.flatten else shape.input_passes), COLUMN_BYTES)
    lead = surplus // shape.per_byte
    starts = [0, *(number for number, gap in enumerate(gaps) if gap and number), len(gaps)]
    runs, filled = [], 0
    for first, end in pairwise(starts):
        if first:
            column, filled, lead = column + gaps[first], 0, 0
        size = lead + sum(sizes[first:end])
        if size:
            runs.append(ByteRun(column, lead, first, end, size))
        column, filled = column + size // COLUMN_BYTES, size % COLUMN_BYTES
    return runs, column + (1 if filled else 0)


def _whole_ranks(shape: StreamShape) -> int:
    """Return the number of processors with a channel in every pass; others store less if weights are narrow."""
    if shape.per_byte == 1 or shape.flatten:
        return shape.inputs_per_pass
    return min(shape.inputs_per_pass, shape.inputs - (shape.input_passes - 1) * shape.inputs_per_pass)


def stored_columns(shape: StreamShape, length: int, processors: int, *, quad: bool = False) -> list[int]:
    """Return the columns that each processor stores, as 1 bits, relative to the layer's first column.

    After the kernels, zeros fill the rest of the `length` reserved columns, except in quad mode.
    """
    gaps, split = _gaps(shape), _whole_ranks(shape)
    known: dict[bool, tuple[int, int]] = {}
    result: list[int] = []
    for rank in range(processors):
        whole = rank < split
        if rank and whole and not (shape.flatten and shape.lead):
            result.append(result[0])
            continue
        if whole not in known:
            runs, end = _runs(shape, gaps, _sizes(shape, len(gaps), whole=whole))
            known[whole] = sum(((1 << run.columns) - 1) << run.start for run in runs), end
        columns, end = known[whole]
        tail = 0 if quad else length + shape.lead - end
        if tail > 0:
            columns |= ((1 << tail) - 1) << end
            end += tail
        if shape.flatten:
            length = end  # as the vendor's tool does: with a lead-in, each processor stores more than the preceding one
        result.append(columns)
    return result


def displaced_output(shape: StreamShape) -> int | None:
    """Return the first output processor whose kernels are not stored where the device reads them; None if all are.

    The device does not use the map: its counter includes unused lanes, each as long as the kernels of an output. In the
    stream, unused lanes occupy one column for as many of them as share a byte, and only if that many are consecutive.
    Both agree if an output occupies one column, which is a 3×3 or length-9 kernel and a single pass.
    """
    if shape.depthwise:
        return None
    used, step = bit_indices(shape.output_map), shape.per_byte
    area, passes = (1, shape.pixels * shape.input_passes) if shape.flatten else (shape.area, shape.input_passes)
    first = used[0] - shape.lead
    span = used[-1] + 1 - first
    column, surplus = divmod(shape.lead * area * (1 if shape.flatten else passes), COLUMN_BYTES)
    position = COLUMN_BYTES * column + surplus // step
    for group, gap in enumerate(_gaps(shape)):
        if gap:
            position = COLUMN_BYTES * (position // COLUMN_BYTES + gap)
        for inside, output in enumerate(range(group * step, min((group + 1) * step, shape.outputs))):
            turn, rank = divmod(output, shape.outputs_per_pass)
            lane = turn * span + used[rank] - first - inside
            bits = lane * passes * abs(shape.bits)  # a kernel begins at a byte of its first tap
            if bits % 8 or 8 * position != bits * area:
                return used[rank]
        position += area * passes
    return None


def _stored(weights: IntArray, bits: int) -> IntArray:
    """Return the weights as stored: binary +1 becomes 0, then modulo 2^bits."""
    values = np.where(weights > 0, 0, weights) if bits == BINARY else weights
    return values & ((1 << abs(bits)) - 1)


def _merge(values: IntArray, bits: int) -> Bytes:
    """Return bytes merged from the last axis (the weights of one byte, the first one in the lowest bits)."""
    shifts = np.arange(values.shape[-1], dtype=np.int64) * abs(bits)
    return (values << shifts).sum(axis=-1).astype(np.uint8)


def _kernel_bytes(kernels: IntArray, shape: StreamShape, groups: int, rank: npt.NDArray[np.int64]) -> Bytes:
    """Return the merged kernels as (rank, group, pass, tap), last tap first; missing kernels are 0."""
    count, per_byte = len(kernels), shape.per_byte
    # c: processor rank, m: first output of the group, d: position among the merged kernels of all passes
    c = rank.reshape(-1, 1, 1, 1)
    m = (np.arange(groups) * per_byte).reshape(1, -1, 1, 1)
    d = np.arange(shape.input_passes * per_byte).reshape(1, 1, shape.input_passes, per_byte)
    index = (
        c + m * shape.inputs + d % shape.input_passes * shape.inputs_per_pass + d // shape.input_passes * shape.inputs
    )
    present = (index < count) & (m < shape.outputs)
    taken = kernels[np.where(present, index, 0)] * present[..., None]
    return _merge(np.moveaxis(taken, 3, -1), shape.bits)[..., ::-1]


def _flat_bytes(stored: IntArray, shape: StreamShape, ranks: npt.NDArray[np.int64]) -> Bytes:
    """Return the bytes (rank, all outputs) of a flattened layer: output by output, pixel by pixel, pass by pass."""
    cube = stored.reshape(shape.outputs, shape.input_passes, shape.inputs_per_pass, shape.pixels)[:, :, ranks]
    rows = cube.transpose(2, 0, 3, 1).reshape(len(ranks), -1)
    padded = np.zeros((len(ranks), ceil_div(rows.shape[1], shape.per_byte) * shape.per_byte), np.int64)
    padded[:, : rows.shape[1]] = rows
    return _merge(padded.reshape(len(ranks), -1, shape.per_byte), shape.bits)


def _group_bytes(stored: IntArray, shape: StreamShape, ranks: npt.NDArray[np.int64], sizes: list[int]) -> Bytes:
    """Return the bytes (rank, all groups), `sizes` of each group; zeros where there is no kernel."""
    total = np.zeros((len(ranks), sum(sizes)), np.uint8)
    if shape.flatten:
        data = _flat_bytes(stored, shape, ranks)
    else:
        present = 1 if shape.depthwise else ceil_div(shape.outputs, shape.per_byte)
        merged = _kernel_bytes(stored.reshape(-1, shape.area), shape, min(present, len(sizes)), ranks)
        channel = np.arange(shape.input_passes) * shape.inputs_per_pass + ranks[:, None]
        if int(channel.max()) >= shape.inputs:
            merged = merged * (channel < shape.inputs)[:, None, :, None]
        data = merged.reshape(*merged.shape[:2], -1)[:, :, : sizes[0]].reshape(len(ranks), -1)
    size = min(data.shape[1], total.shape[1])
    total[:, :size] = data[:, :size]
    return total


def layer_streams(
    weights: IntArray, shape: StreamShape, processors: int
) -> list[tuple[npt.NDArray[np.int64], list[Columns]]]:
    """Return the columns of all processor ranks, grouped by ranks that store the same amount.

    `weights` is (out, in/groups, rows, columns). The lead-in for unaligned outputs is included, the padding at the end
    is not.
    """
    gaps, stored = _gaps(shape), _stored(weights, shape.bits)
    split = _whole_ranks(shape)
    result = []
    for ranks, whole in ((np.arange(min(split, processors)), True), (np.arange(split, processors), False)):
        if not len(ranks):
            continue
        sizes = _sizes(shape, len(gaps), whole=whole)
        data = _group_bytes(stored, shape, ranks, sizes)
        places = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        runs, _ = _runs(shape, gaps, sizes)
        result.append((ranks, [_columns(run, data[:, places[run.first] : places[run.end]]) for run in runs]))
    return result


def _columns(run: ByteRun, data: Bytes) -> Columns:
    """Return the bytes of a run as columns, each filled from byte 8 to byte 0."""
    stream = np.zeros((len(data), run.columns * COLUMN_BYTES), np.uint8)
    stream[:, run.lead : run.size] = data
    return Columns(run.start, stream.reshape(len(data), run.columns, COLUMN_BYTES)[:, :, ::-1])
