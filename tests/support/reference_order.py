"""A layer executed in the order of its reads and writes, window by window and pixel by pixel, with plain loops.

A layer reads its windows once each, row by row. An output pixel is written when the windows that it needs were read,
and all pixels before it are written. Whatever is read after it was written is a conflict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from ai8x_tool.virtual import VirtualDevice
from ai8x_tool.virtual.layer import Kind
from tests.support.reference_device import place, window


@dataclass
class Ordered:
    """What happened: words read after they were written, whether a byte had another value then, words written."""

    conflicts: set = field(default_factory=set)
    differs: bool = False
    overwritten: set = field(default_factory=set)


@dataclass(frozen=True)
class Snapshot:
    """One executed layer, and data memory (instances, words, 4) before it wrote: values, and who wrote them."""

    run: object
    before: object
    streams: bool
    writers: object = None


def execute(device, stores):
    """Return (virtual device, snapshots of its layers)."""
    virtual = VirtualDevice(device, trace=True)
    memory, states, snapshots = virtual._machine.data, [], []
    for name in ("store_bytes", "store_words"):
        original = getattr(memory, name)

        def recorded(*arguments, original=original):
            if arguments[-1] >= 0:
                states.append((memory.lanes.copy(), memory.origin.copy()))
            original(*arguments)

        setattr(memory, name, recorded)

    def remember(run):
        streams = not states
        before, writers = states.pop() if states else (None, None)
        snapshots.append(Snapshot(run, before, streams, writers))

    virtual.hooks.append(remember)
    virtual.load(stores).run()
    return virtual, snapshots


def needed_windows(layer, row, column):
    """Return the windows (row, column) that an output pixel is made of."""
    if layer.kind is Kind.PASSTHROUGH:
        return [(row, column)]
    (height, width), (top, left), (rows, columns) = layer.geometry.kernel, layer.geometry.pad, layer.geometry.pooled
    step = 2 if layer.transposed else 1
    found = []
    for u in range(row - top, row - top + height):
        for v in range(column - left, column - left + width):
            if u % step == 0 and v % step == 0 and 0 <= u < step * rows and 0 <= v < step * columns:
                found.append((u // step, v // step))
    return found


def output_size(layer):
    if layer.kind is Kind.PASSTHROUGH:
        return layer.geometry.pooled
    step, g = 2 if layer.transposed else 1, layer.geometry
    return tuple(step * n + 2 * p - k + 1 for n, p, k in zip(g.pooled, g.pad, g.kernel, strict=True))


def looks(run):
    """Return {(pass, rank)} of the planes that any kernel looks at."""
    weights = run.work.weights
    planes = np.ndindex(run.layer.passes, len(run.layer.processors))
    if weights is None:
        return set(planes)
    return {(e, rank) for e, rank in planes if weights[..., e, rank, :].any()}


def stores_by_pixel(written):
    """Return (instance, word, lane, value) of every byte of each output pixel."""
    shape = written.values.shape

    def by_pixel(array):
        return np.broadcast_to(array, shape).reshape(-1, shape[-1]).T

    instance, word, values = (by_pixel(array) for array in (written.instance, written.word, written.values))
    if written.lane is not None:
        lane = by_pixel(written.lane)
    else:
        values = np.ascontiguousarray(values, "<u4").view(np.int8)
        instance, word = np.repeat(instance, 4, axis=1), np.repeat(word, 4, axis=1)
        lane = np.broadcast_to(np.arange(values.shape[1]) % 4, values.shape)
    places = (array.tolist() for array in (instance, word, lane, values))
    return [list(zip(*pixel, strict=True)) for pixel in zip(*places, strict=True)]


def in_order(snapshot, pixels=None):
    """Return what happens when a layer that reads data memory is executed in order.

    `pixels` is how many there are, where a layer reads beyond its data.
    """
    run, memory = snapshot.run, snapshot.before.copy()
    layer, planes = run.layer, looks(run)
    (rows, columns), outputs = layer.geometry.pooled, list(np.ndindex(*output_size(layer)))
    result, changed, written, done = Ordered(), set(), 0, set()
    stores, reads = stores_by_pixel(run.written), {}
    pending = [set(needed_windows(layer, *output)) for output in outputs]
    for window_number in range(-1, rows * columns):
        if window_number >= 0:
            i, j = divmod(window_number, columns)
            for pixel in window(layer, i, j):
                if pixel not in reads:
                    places = read_places(layer, planes, *pixel, pixels)
                    reads[pixel] = places, {at[:2] for at in places}
                places, words = reads[pixel]
                for at in () if changed.isdisjoint(words) else places:
                    if at[:2] in changed:
                        result.conflicts.add(at[:2])
                        result.differs |= bool(memory[at] != snapshot.before[at])
            done.add((i, j))
        while written < len(outputs) and pending[written] <= done:
            for instance, word, lane, value in stores[written]:
                memory[instance, word, lane] = value
                changed.add((instance, word))
            written += 1
    assert written == len(outputs)
    result.overwritten = changed & set().union(*(words for _, words in reads.values()))
    return result


def read_places(layer, planes, y, x, pixels):
    """Return (instance, word, lane) of all values of input pixel (y, x)."""
    if pixels is not None and y * layer.geometry.columns + x >= pixels:
        return []
    operands, processors = range(layer.operation.operands), layer.processors.tolist()
    return [place(layer, layer.read_pointer, processors[rank], y, x, e, k) for e, rank in planes for k in operands]


def end_is_seen(snapshot, pixels):
    """Whether one layer wrote all of `pixels` in the last row, and another what follows: the device sees no more."""
    layer, columns = snapshot.run.layer, snapshot.run.layer.geometry.columns
    row = (pixels - 1) // columns
    for places in zip(*(read_places(layer, looks(snapshot.run), row, x, None) for x in range(columns)), strict=True):
        writers = [int(snapshot.writers[at]) for at in places]
        own, others = writers[: pixels - row * columns], writers[pixels - row * columns :]
        if len(set(own)) > 1 or others[:1] == own[:1]:
            return False
    return True


def reported(virtual, index=0):
    return [d for d in virtual.diagnostics if d.layer == index and "of its own input" in d.message]


def check_report(virtual, snapshot, pixels=None):
    """Compare the report on a layer with its execution in order; return the expected severity."""
    expected = in_order(snapshot, pixels)
    severity = "note" if expected.overwritten else None
    if expected.conflicts:
        severity = "error" if expected.differs else "warning"
    found = reported(virtual, snapshot.run.layer.index)
    assert [d.severity for d in found] == [severity] * (severity is not None)
    for diagnostic in found:
        assert diagnostic.register == "WPTR"
        count = len(expected.conflicts or expected.overwritten)
        assert int(re.search(r"(\d+) words", diagnostic.message)[1]) == count
        if expected.conflicts:
            word, instance = re.search(r"word (0x\w+) of instance (\d+)", diagnostic.message).groups()
            assert (int(instance), int(word, 16)) in expected.conflicts
    return severity
