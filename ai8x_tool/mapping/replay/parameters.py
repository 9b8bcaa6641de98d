"""Simulation of the reads of kernel and bias memory: each layer decodes the values to which its registers point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.mapping.mapping import LayerMapping, Mapping
from ai8x_tool.mapping.replay.conflict import Conflict
from ai8x_tool.mapping.replay.places import LANES, Array, counters, members
from ai8x_tool.network.layer import BINARY

Bytes = npt.NDArray[np.uint8]
_PARALLEL = 4
_INSTANCE_COLUMNS = 1024
"""Number of kernel-memory instances that a layer with calcx4 reads in parallel, and their columns."""


def walk_kernels(mapping: Mapping) -> Iterator[Conflict]:
    """Yield conflicts for layers that read kernels other than their own."""
    image = mapping.kernel_memory.data.reshape(len(mapping.kernel_memory.data), -1)
    owners: dict[int, tuple[LayerMapping, Array]] = {}
    for at in mapping.layers:
        if not at.layer.has_weights:
            continue
        address, bit = _addresses(at)
        processors = _processors(at)
        columns = distinct(address // COLUMN_BYTES)
        limit = min(mapping.device.kernel_columns(int(p)) for p in processors.flat)
        if int(columns[-1]) >= limit:
            yield _kernel_conflict(at, int(processors.flat[0]), int(columns[-1]), "all of its kernels", 1)
            continue
        yield from _unknown_kernels(at, columns, owners)
        if at.view.kernels is not None:
            yield from _wrong_kernels(at, image, processors, address, bit)


def _processors(at: LayerMapping) -> Array:
    """Return the processors whose kernel memory holds each output's kernels, (processors, outputs or 1)."""
    own = members(at.own_processors)[:, None]
    if at.processors == at.own_processors:
        return own
    return own + 16 * (counters(at)[0] % _PARALLEL)  # each quadrant computes every fourth output


def _addresses(at: LayerMapping) -> tuple[Array, Array]:
    """Return byte addresses (outputs, passes, taps) in a processor's stream, and lowest bits (outputs, passes)."""
    layer, area = at.layer, at.view.kernel_area
    passes = at.view.input_passes * layer.flat_pixels
    kernel, surplus = divmod(COLUMN_BYTES * at.kernels.offset, area)
    if at.calcx4:
        kernel = kernel % _PARALLEL * _INSTANCE_COLUMNS + kernel // _PARALLEL
    output: Array = np.zeros(1, np.int64) if layer.depthwise else counters(at)[0]
    column: Array = np.zeros_like(output)
    if at.calcx4:
        output, column = output // _PARALLEL, output % _PARALLEL * _INSTANCE_COLUMNS
    elif at.processors != at.own_processors:
        output = output // _PARALLEL
    unit = 8 * kernel + (output[:, None] * passes + np.arange(passes)) * abs(layer.bits)
    first = (unit >> 3) * area + surplus + COLUMN_BYTES * column[:, None]
    return first[..., None] + area - 1 - np.arange(area), unit & 7


def _wrong_kernels(at: LayerMapping, image: Bytes, processors: Array, address: Array, bit: Array) -> Iterator[Conflict]:
    expected = _expected(at)
    column, byte = np.divmod(address, COLUMN_BYTES)
    position = COLUMN_BYTES * column + COLUMN_BYTES - 1 - byte
    found = image[processors[..., None, None], position]
    if abs(at.layer.bits) < 8:
        found = found >> bit.astype(np.uint8)[..., None] & (1 << abs(at.layer.bits)) - 1
    wrong = found != expected
    if at.layer.bits == BINARY and at.view.kernels is not None:
        wrong |= _without_value(at)  # there is no ±1 for a weight of 0
    if wrong.any():
        rank, output, step, tap = np.argwhere(wrong)[0].tolist()
        processor = int(np.broadcast_to(processors, wrong.shape[:2])[rank, output])
        victim = f"the kernel of output {output}, pass {step}"
        yield _kernel_conflict(at, processor, int(column[output, step, tap]), victim, int(wrong.sum()))


def _expected(at: LayerMapping) -> Bytes:
    """Return the bits of a layer's kernels as (processors, outputs, passes, taps); 0 where there is no channel."""
    assert at.view.kernels is not None
    values = np.where(at.view.kernels > 0, 0, at.view.kernels) if at.layer.bits == BINARY else at.view.kernels
    return _ordered(at, (values & (1 << abs(at.layer.bits)) - 1).astype(np.uint8))


def _without_value(at: LayerMapping) -> npt.NDArray[np.bool_]:
    assert at.view.kernels is not None
    return _ordered(at, (at.view.kernels == 0).astype(np.uint8)).astype(bool)


def _ordered(at: LayerMapping, kernels: Bytes) -> Bytes:
    """Return `kernels` (out, in/groups, rows, columns) as (processors, outputs, passes, taps)."""
    layer, view = at.layer, at.view
    passes, ranks, area = view.input_passes, view.inputs_per_pass, view.kernel_area
    outputs = 1 if layer.depthwise else layer.channels_out
    pixels = layer.flat_pixels
    by_channel = kernels.reshape(outputs, layer.channels_in, pixels, area)
    full = by_channel
    if layer.channels_in < passes * ranks:
        full = np.zeros((outputs, passes * ranks, pixels, area), np.uint8)
        full[:, : layer.channels_in] = by_channel
    # outputs, passes, ranks, pixels, taps: a flattening layer iterates over the passes of each pixel
    ordered = full.reshape(outputs, passes, ranks, pixels, area).transpose(2, 0, 3, 1, 4)
    return ordered.reshape(ranks, outputs, pixels * passes, area)


def _unknown_kernels(
    at: LayerMapping, columns: Array, owners: dict[int, tuple[LayerMapping, Array]]
) -> Iterator[Conflict]:
    """Yield conflicts for columns used by two layers if their values, which may be unknown, cannot reveal them."""
    for other, taken in owners.values():
        unknown = at.view.kernels is None or other.view.kernels is None
        common = np.intersect1d(columns, taken) if unknown and at.processors & other.processors else columns[:0]
        if len(common) and at.kernels.duplicate_of != other.layer.index:
            processor = int(members(at.processors & other.processors)[0])
            victim = f"kernels of its own, but those of {other.layer.label},"
            yield _kernel_conflict(at, processor, int(common[0]), victim, len(common))
    if at.kernels.duplicate_of is None:
        owners[at.layer.index] = at, columns


def _kernel_conflict(at: LayerMapping, processor: int, column: int, victim: str, count: int) -> Conflict:
    return Conflict("kernel", at.layer.label, victim, processor, column, "", count, at.where)


def walk_biases(mapping: Mapping) -> Iterator[Conflict]:
    """Yield conflicts for layers that read biases other than their own."""
    size = mapping.device.bias_size
    memory = np.zeros((4, size), np.int64)
    for number, values in mapping.bias_bytes.items():
        memory[number, : len(values)] = np.array(values, np.uint8).astype(np.int8)
    for at in mapping.layers:
        if at.layer.bias is None:
            continue
        if at.bias is None:
            yield Conflict("bias", at.layer.label, "its biases", 0, 0, "", len(at.layer.bias), at.where)
            continue
        late = mapping.start is at and at.streaming and not mapping.device.streaming_bias
        quadrant, entry = _depthwise_entries(at) if at.layer.depthwise else _entries(at, int(late))
        found = np.where(entry < size, memory[quadrant, np.minimum(entry, size - 1)], 0)
        wrong = found != at.layer.bias
        if wrong.any():
            first = int(wrong.argmax())
            victim = f"the bias of output {first}"
            place = int(quadrant[first]), int(entry[first])
            yield Conflict("bias", at.layer.label, victim, *place, "", int(wrong.sum()), at.where)


def _entries(at: LayerMapping, late: int) -> tuple[Array, Array]:
    """Return the quadrant and the entry of each output's bias."""
    assert at.bias is not None
    counter = counters(at)[0]
    if at.processors != at.own_processors:
        quadrant = counter % _PARALLEL
        return quadrant, np.array([at.bias.offsets[q] for q in range(4)])[quadrant] + counter // _PARALLEL
    assert at.bias.quadrant is not None
    offset = at.bias.offsets[at.bias.quadrant]
    if at.calcx4:
        offset = offset // 4 * 4
    return np.full(len(counter), at.bias.quadrant), offset + late + counter


def _depthwise_entries(at: LayerMapping) -> tuple[Array, Array]:
    """Return the quadrant and the entry of each channel's bias, which is in the quadrant of its processor."""
    assert at.bias is not None
    processors = members(at.processors)
    number, rank = np.divmod(np.arange(at.layer.channels_out), at.view.inputs_per_pass)
    quadrant, inside = processors // 16, processors % 16
    offsets = np.array([at.bias.offsets[int(q)] for q in quadrant])
    if at.broadcast:
        base = offsets // 4 * 4 + LANES * (inside % LANES) + inside // LANES
        return quadrant[rank], base[rank] + 16 * number
    lowest, highest = quadrant[0], quadrant[-1]
    position = inside - np.where(quadrant == lowest, inside[quadrant == lowest].min(), 0)
    length = np.where(quadrant < highest, 16, position[quadrant == highest].max() + 1)
    return quadrant[rank], (offsets + position)[rank] + length[rank] * number
