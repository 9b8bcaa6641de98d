"""The bytes of one layer in kernel memory, as runs of 9-byte columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.bits import bits_of, ceil_div, lowest
from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.network.layer import BINARY, IntArray

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StreamShape:
    """What the order of a layer's kernels depends on.

    `inputs`/`outputs` are channels (inputs before flattening), `pixels` those of a flattened layer's input (else 1).
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
        return lowest(self.output_map) % 4

    def in_first_instance(self) -> StreamShape:
        """Return the shape with its output map moved to the first processors: what its stream really depends on."""
        return replace(self, output_map=self.output_map >> (lowest(self.output_map) & ~3))


def stream_shape(at: PlacedLayer) -> StreamShape:
    """Return what the order of a layer's kernels depends on."""
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
    """A run of columns: `data` is (columns, 9) with byte 0 first, `start` relative to the layer's first column."""

    start: int
    data: Bytes


class _Cursor:
    """Puts byte strings into columns, each filled from byte 8 towards byte 0."""

    def __init__(self, column: int) -> None:
        self.column = column
        self.runs: list[tuple[int, list[Bytes]]] = []
        self.filled = 0
        self.open = False

    def skip(self, columns: int) -> None:
        """Leave the current column and go `columns` further; what is partly filled stays so."""
        if columns:
            self.column += columns
            self.filled, self.open = 0, False

    def put(self, data: Bytes) -> None:
        if not len(data):
            return
        if not self.open:
            self.runs.append((self.column, []))
            self.open = True
        self.runs[-1][1].append(data)
        full, self.filled = divmod(self.filled + len(data), COLUMN_BYTES)
        self.column += full

    def columns(self) -> list[Columns]:
        result = []
        for start, parts in self.runs:
            stream = np.concatenate(parts)
            padded = np.zeros(ceil_div(len(stream), COLUMN_BYTES) * COLUMN_BYTES, np.uint8)
            padded[: len(stream)] = stream
            result.append(Columns(start, np.ascontiguousarray(padded.reshape(-1, COLUMN_BYTES)[:, ::-1])))
        return result


def _gaps(shape: StreamShape) -> list[int]:
    """Return, for each group of outputs in stream order, how many columns are skipped before it."""
    step = shape.per_byte
    gaps = []
    for _ in range(1 if shape.depthwise else shape.output_passes):
        remaining = shape.output_map >> lowest(shape.output_map)
        rounds = 1 if shape.depthwise else ceil_div(shape.outputs_per_pass, 1 if shape.flatten else step)
        for _ in range(rounds):
            skipped = 0
            while remaining and not remaining & ((1 << step) - 1):
                skipped += 1
                remaining >>= step
            remaining >>= step
            gaps.append(skipped)
    return gaps


def displaced_output(shape: StreamShape) -> int | None:
    """Return the first output processor whose kernels are not stored where the part reads them, None if all are.

    The part knows no map: its counter passes over unused lanes as over all others, each as long as an output's kernels.
    In the stream, unused lanes take a column for as many of them as share a byte, and only where that many follow each
    other. Both agree if an output takes one column, which is a 3×3 or length-9 kernel and a single pass.
    """
    if shape.depthwise:
        return None
    used, step = bits_of(shape.output_map), shape.per_byte
    area, passes = (1, shape.pixels * shape.input_passes) if shape.flatten else (shape.area, shape.input_passes)
    first = used[0] - shape.lead
    span = used[-1] + 1 - first
    position = shape.lead * area * (1 if shape.flatten else passes) // step
    for group, gap in enumerate(_gaps(shape)):
        if gap:
            position = COLUMN_BYTES * (position // COLUMN_BYTES + gap)
        for inside, output in enumerate(range(group * step, min((group + 1) * step, shape.outputs))):
            turn, rank = divmod(output, shape.outputs_per_pass)
            lane = turn * span + used[rank] - first - inside
            if 8 * position != lane * area * passes * abs(shape.bits):
                return used[rank]
        position += area * passes
    return None


def _stored(weights: IntArray, bits: int) -> IntArray:
    """Return weights as stored: binary +1 becomes 0, then modulo 2^bits."""
    values = np.where(weights > 0, 0, weights) if bits == BINARY else weights
    return values & ((1 << abs(bits)) - 1)


def _merge(values: IntArray, bits: int) -> Bytes:
    """Merge the last axis (weights of one byte, first in the lowest bits)."""
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


def _present(shape: StreamShape, count: int, groups: int, rank: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return (rank, group, pass): whether the processor has a channel and a kernel there."""
    c = rank.reshape(-1, 1, 1)
    m = (np.arange(groups) * shape.per_byte).reshape(1, -1, 1)
    e = np.arange(shape.input_passes).reshape(1, 1, -1)
    present: npt.NDArray[np.bool_] = (e * shape.inputs_per_pass + c < shape.inputs) & (c + m * shape.inputs < count)
    return present


def _flat_rows(weights: IntArray, shape: StreamShape, rank: int) -> IntArray:
    """Return the rows (outputs, pixels·passes) of one processor of a flattened layer, pass fastest."""
    cube = weights.reshape(shape.outputs, shape.input_passes, shape.inputs_per_pass, shape.pixels)
    return cube[:, :, rank].transpose(0, 2, 1).reshape(shape.outputs, -1)


def _flat_groups(weights: IntArray, shape: StreamShape, rank: int, groups: int) -> list[Bytes]:
    rows, per_byte = _flat_rows(weights, shape, rank), shape.per_byte
    result = []
    for group in range(groups):
        part = rows[group * per_byte : (group + 1) * per_byte].reshape(-1)
        if not len(part):
            result.append(np.zeros(1 // per_byte, np.uint8))
            continue
        padded = np.zeros(ceil_div(len(part), per_byte) * per_byte, np.int64)
        padded[: len(part)] = part
        result.append(_merge(padded.reshape(-1, per_byte), shape.bits))
    return result


def empty_streams(shape: StreamShape, processors: int) -> list[tuple[list[Columns], int, int]]:
    """Return what :func:`layer_streams` does, with zeros instead of weights, at a fraction of the cost."""
    regular = not any(_gaps(shape)) and not shape.flatten
    if not regular or (shape.per_byte > 1 and shape.inputs < shape.input_passes * shape.inputs_per_pass):
        count = shape.outputs * shape.inputs * (shape.pixels if shape.flatten else shape.area)
        weights = np.zeros(count // (shape.inputs if shape.depthwise else 1), np.int64)
        flat = (shape.outputs, -1) if shape.flatten else (-1, shape.area)
        return layer_streams(weights.reshape(flat), shape, processors)
    column, surplus = divmod(shape.lead * shape.area * shape.input_passes, COLUMN_BYTES)
    count = surplus // shape.per_byte + len(_gaps(shape)) * shape.input_passes * shape.area
    full, filled = divmod(count, COLUMN_BYTES)
    data = np.zeros((ceil_div(count, COLUMN_BYTES), COLUMN_BYTES), np.uint8)
    return [([Columns(column, data)] if count else [], column + full, filled) for _ in range(processors)]


def layer_streams(weights: IntArray, shape: StreamShape, processors: int) -> list[tuple[list[Columns], int, int]]:
    """Return, for each processor rank, its columns, the cursor column after the last kernel, and bytes put there.

    `weights` is (out, in/groups, rows, columns). The lead-in for unaligned outputs is included, the padding at the end
    is not.
    """
    gaps = _gaps(shape)
    stored = _stored(weights, shape.bits)
    passes = 1 if shape.flatten else shape.input_passes
    column, surplus = divmod(shape.lead * shape.area * passes, COLUMN_BYTES)
    rank = np.arange(processors)
    groups: list[list[Bytes]]
    if shape.flatten:
        groups = [_flat_groups(stored, shape, c, len(gaps)) for c in range(processors)]
    else:
        kernels = stored.reshape(-1, shape.area)
        merged = _kernel_bytes(kernels, shape, len(gaps), rank)
        present = _present(shape, len(kernels), len(gaps), rank)
        groups = [_group_bytes(merged[c], present[c], shape) for c in range(processors)]
    result = []
    for parts in groups:
        cursor = _Cursor(column)
        cursor.put(np.zeros(surplus // shape.per_byte, np.uint8))
        for data, gap in _joined(parts, gaps):
            cursor.skip(gap)
            cursor.put(data)
        result.append((cursor.columns(), cursor.column, cursor.filled))
    return result


def _group_bytes(merged: Bytes, present: npt.NDArray[np.bool_], shape: StreamShape) -> list[Bytes]:
    """Return the bytes of each group; absent kernels take area/per_byte zero bytes."""
    if present.all() or shape.per_byte == 1:
        data = merged * present[..., None]
        return list(data.astype(np.uint8).reshape(len(data), -1))
    short = np.zeros(shape.area // shape.per_byte, np.uint8)
    return [
        np.concatenate([kernel if there else short for kernel, there in zip(group, flags, strict=True)])
        for group, flags in zip(merged, present, strict=True)
    ]


def _joined(parts: list[Bytes], gaps: list[int]) -> list[tuple[Bytes, int]]:
    """Join neighbouring groups that no gap separates: (bytes, columns skipped before)."""
    starts = [i for i, gap in enumerate(gaps) if gap or i == 0]
    return [(np.concatenate(parts[i:j]), gaps[i]) for i, j in zip(starts, [*starts[1:], len(parts)], strict=True)]
