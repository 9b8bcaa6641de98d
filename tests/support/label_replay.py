"""Whose data lie where: every byte of data memory is labeled, layer by layer, from the network alone.

A label stands for one element of one tensor. A layer must find the labels of its sources where it reads; outputs, and
the rolling buffer, must still be there at the end. The order inside a layer is not looked at.
"""

from __future__ import annotations

import numpy as np

from ai8x_tool.network.layer import BUFFER, INPUT

NOBODY, GARBAGE, ANY = -1, -2, -3
COMMUTING = ("add", "or", "xor")
LANES = np.arange(4)


def bits(value):
    return np.array([p for p in range(64) if value >> p & 1])


def rounds_of(channels):
    """Return (passes, processors in each)."""
    count = -(-channels // 64)
    return count, -(-channels // count) if channels <= 64 else min(64, (-(-channels // count) + 3) // 4 * 4)


def covered(size, layer, axis):
    """Return which rows or columns any pooling window holds."""
    window, stride, dilation = layer.pool[axis], layer.pool_stride[axis], layer.pool_dilation[axis]
    if size == 1:
        return np.ones(1, bool)
    held = np.zeros(size, bool)
    for start in range(layer.pooled_size[axis]):
        for u in range(window):
            place = start * stride + u * dilation
            if place < size:
                held[place] = True
    return held


class Replay:
    """`conflicts` are lines; empty if every layer finds what it should."""

    def __init__(self, placed, order, rings):
        self.placed, self.rings, self.conflicts = placed, rings, []
        self.owner = np.full((16, placed.device.instance_size // 4, 4), NOBODY, np.int64)
        self.next = 0
        self.tensors = {INPUT: self.labels(*placed.network.input_shape)}
        self.buffer = None
        if placed.network.buffer is not None:
            self._start_buffer(placed.network.buffer, placed.placement.buffer)
        if not placed.start.streaming:
            self.put(*self.input_places(placed.start), self.operands(placed.start, self.tensors[INPUT]))
        for name in order:
            self.execute(placed[name])
        for name in {*self.listed(order), *(n for n in order if placed[n].layer.output), order[-1]}:
            self.compare(self.output_places(placed[name]), self.tensors[name], f"output of layer {name}")
        if self.buffer is not None:
            self.compare(self.buffer_places, self.buffer, "rolling buffer")

    def listed(self, order):
        """Return the layers whose outputs the list of unloaded data means: the last ones of that place and shape."""
        found = {}
        for at in (self.placed[name] for name in order):
            layer = at.layer
            place = at.output_map, layer.channels_out, layer.out_size, at.out_offset, layer.output_width, at.write_gap
            found[place] = layer.name
        items = self.placed.placement.unload
        places = [(i.processors, i.channels, i.size, i.offset, i.width, i.write_gap) for i in items]
        return [found[place] for place in places if place in found]

    def labels(self, *shape):
        count = int(np.prod(shape))
        self.next += count
        return np.arange(self.next - count, self.next).reshape(shape)

    def put(self, instance, word, lane, labels):
        self.owner[instance, word, lane] = labels

    def compare(self, places, expected, what):
        found = self.owner[places]
        if found.ndim > expected.ndim:
            expected = expected[..., None]
        wrong = (found != expected) & (expected != ANY)
        self._report(wrong, what)

    def compare_in_any_order(self, places, expected, what):
        """Compare operands of an operation that commutes."""
        wrong = (np.sort(self.owner[places], axis=0) != np.sort(expected, axis=0)) & (expected != ANY)
        self._report(wrong, what)

    def _report(self, wrong, what):
        if wrong.any():
            at = np.argwhere(wrong)[0]
            self.conflicts.append(f"{what}: {int(wrong.sum())} bytes, first element {at.tolist()}")

    # -- Places, as index arrays of the shape of the labels ------------------------------------------------------------

    def input_places(self, at):
        """Return places for (operands, channels, rows, columns)."""
        layer = at.layer
        passes, per_pass = rounds_of(layer.channels_in)
        channel = np.arange(layer.channels_in)[:, None, None]
        processor = bits(at.processors)[channel % per_pass]
        rows, columns = layer.in_size
        pixel = np.arange(rows)[:, None] * columns + np.arange(columns)
        operand = np.arange(layer.operands)[:, None, None, None]
        if at.chw:
            place = at.input_offset + pixel + 0 * channel + 0 * operand
            return np.broadcast_arrays(processor // 4, place // 4, place % 4)
        pitch = layer.operands * passes * (at.read_gap + 1)
        word = at.input_offset // 4 + pixel * pitch + channel // per_pass * layer.operands + operand
        return np.broadcast_arrays(processor // 4, word, processor % 4)

    def output_places(self, at):
        """Return places for (channels, rows, columns), or (channels, rows, columns, 4) of 32-bit outputs."""
        layer = at.layer
        passes, per_pass = rounds_of(layer.channels_out)
        channel = np.arange(layer.channels_out)[:, None, None]
        processor = bits(at.output_map)[channel % per_pass]
        rows, columns = layer.out_size
        pixel = np.arange(rows)[:, None] * columns + np.arange(columns)
        wide = layer.output_width // 8
        word = at.out_offset // 4 + (pixel * passes + channel // per_pass) * wide * (at.write_gap + 1)
        if wide == 1:
            return np.broadcast_arrays(processor // 4, word, processor % 4)
        word = word + processor % 4
        return np.broadcast_arrays((processor // 4)[..., None], word[..., None], LANES)

    # -- Execution -----------------------------------------------------------------------------------------------------

    def operands(self, at, tensor):
        """Return labels (operands, channels, rows, columns) as the layer sees its joined sources."""
        layer = at.layer
        parts = np.split(tensor, layer.operands)
        first, last = layer.in_crop
        return np.stack([p[:, first : p.shape[1] - last].reshape(-1, *layer.in_size) for p in parts])

    def collect(self, layer):
        if layer.inputs == (BUFFER,):
            return self.buffer[:, layer.buffer_shift :] if layer.buffer_shift else self.buffer
        tensors = [self.tensors[source] for source in layer.inputs]
        if len({t.shape[1:] for t in tensors}) == 1:
            return np.concatenate(tensors)
        return np.concatenate([t.reshape(len(t), 1, -1) for t in tensors], axis=2)

    def execute(self, at):
        layer, expected = at.layer, None
        if not at.streaming:
            expected = self.operands(at, self.collect(layer))
            held = covered(layer.in_size[0], layer, 0)[:, None] & covered(layer.in_size[1], layer, 1)
            compare = self.compare_in_any_order if layer.eltwise in COMMUTING else self.compare
            compare(self.input_places(at), np.where(held, expected, ANY), f"input of {layer.label}")
        labels = self.labels(layer.channels_out, *layer.out_size)
        if layer.operator == "none" and expected is not None and expected.shape == (1, *labels.shape):
            labels = expected[0]  # a copy
        self.tensors[layer.name] = labels
        ring = self.rings.get(layer.index, set())
        for index, words in self.rings.items():
            if index < layer.index and ring & words:
                self.conflicts.append(f"the rings of {layer.label} and of layer {index} share words")
        for instance, word in ring:
            self.owner[instance, word] = GARBAGE
        if at.streaming and at.next is not None and self.placed[at.next].streaming:
            return
        places = self.output_places(at)
        if at.streaming:
            self._check_rings(layer, places)
        self._spoil(at, places)
        self.put(*places, labels[..., None] if len(places[0].shape) > labels.ndim else labels)
        self._keep_buffer(layer, labels)

    def _spoil(self, at, places):
        """Unused lanes below the first output are written, too."""
        if at.layer.operator == "none" or at.layer.depthwise or at.layer.output_width == 32:
            return
        first = int(bits(at.output_map)[0])
        here = places[0] == first // 4
        for lane in range(first % 4):
            self.owner[places[0][here], places[1][here], lane] = GARBAGE

    def _check_rings(self, layer, places):
        written = set(zip(*(x.ravel().tolist() for x in places[:2]), strict=True))
        for index, words in self.rings.items():
            if written & words:
                self.conflicts.append(f"{layer.label} writes into the ring of layer {index}")

    # -- Rolling buffer ------------------------------------------------------------------------------------------------

    def _start_buffer(self, buffer, where):
        length = buffer.size[0]
        self.buffer = self.labels(buffer.channels, length, 1)
        channel = np.arange(buffer.channels)[:, None, None]
        processor = bits(where.processors)[channel]
        word = where.offset // 4 + np.arange(length)[:, None]
        self.buffer_places = np.broadcast_arrays(processor // 4, word, processor % 4)
        self.put(*self.buffer_places, self.buffer)

    def _keep_buffer(self, layer, labels):
        """Shifting copies, so the state must be where the labels say, and nowhere else."""
        if layer.buffer_shift:
            rest = np.full((len(labels), layer.buffer_shift, 1), ANY)
            self.buffer = np.concatenate([labels, rest], axis=1)
        elif layer.buffer_insert:
            count = layer.buffer_insert
            self.buffer = np.concatenate([self.buffer[:, :-count], labels.reshape(len(labels), count, 1)], axis=1)
