"""A legal network under construction: what lies where in data memory, and what is left of kernel and bias memory.

Kernels and biases are counted as if every layer needed a place of its own in one processor, and in one quadrant: what
this allows fits whatever the order in which layers are placed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ai8x_tool.device import MAX78000
from ai8x_tool.network.sizes import passes, processor_map_for, processors_per_pass
from tests.support.networks import Weights, random_kernels
from tests.support.random_networks.choices import Choices

INPUT, BUFFER = -1, -2
_LARGE = 0x1_0001_0001_0001
"""Processors of the MAX78002 with large kernel memories: layers that use no others are placed from the end, where only
the first one is sure of a place: the search rounds down after it has tested columns, and gives up early."""


def lowest(value):
    return (value & -value).bit_length() - 1


def contiguous(processors):
    return processors >> lowest(processors) == (1 << processors.bit_count()) - 1


@dataclass(frozen=True)
class Tensor:
    """Data that a layer can read. `sources` are layers in the order of execution, `start` … `end` the bytes it covers.

    `gap` words lie between two of its words; `reshaped` data need `in_dim`; `crop` rows are left out at both ends.
    """

    sources: tuple
    channels: int
    rows: int
    columns: int
    processors: int
    offset: int
    start: int
    end: int
    gap: int = 0
    reshaped: bool = False
    crop: tuple = (0, 0)

    @property
    def pixels(self):
        return self.rows * self.columns

    @property
    def passes(self):
        return passes(self.channels)

    @property
    def size(self):
        return self.rows, self.columns


@dataclass(frozen=True)
class Place:
    """Where an output goes: processor map, byte offset, gap, and the bytes reserved for it."""

    processors: int
    offset: int
    start: int
    end: int
    gap: int = 0


@dataclass
class Draft:
    """`layers` hold the YAML keys in the order of execution, references being positions there.

    `held` are bytes that must survive whatever comes: outputs, rolling buffers, operands that are not read yet; `used`
    are all that were ever written. `plain` networks have room for kernels that are read four-fold (calcx4).
    """

    choices: Choices
    device: object
    seed: int
    layers: list = field(default_factory=list)
    weights: dict = field(default_factory=dict)
    tensors: list = field(default_factory=list)
    held: list = field(default_factory=list)
    used: list = field(default_factory=list)
    top: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    latest: Tensor | None = None
    columns: int = 0
    bias_bytes: int = 0
    narrow: int = 1
    depthwise: bool = False
    finished: bool = False
    plain: bool = False
    chw: bool = False
    wide: bool = False
    backward: bool = False
    wide_outputs: list = field(default_factory=list)

    # Choices.

    def number(self, low, high):
        return self.choices.number(low, high)

    def pick(self, values):
        return self.choices.pick(values)

    def flag(self):
        return self.choices.number(0, 1) == 1

    def rarely(self):
        return self.choices.number(0, 3) == 3

    @property
    def new(self):
        """True for the MAX78002."""
        return self.device is not MAX78000

    @property
    def last(self):
        """The number of the layer executed last."""
        return len(self.layers) - 1

    @property
    def room(self):
        """How many layers may follow."""
        return (28 if not self.new else 40) - len(self.layers)

    def saved(self):
        """Return a copy that later layers do not change."""
        return {key: value.copy() if isinstance(value, list | dict) else value for key, value in vars(self).items()}

    def restore(self, saved):
        """Become what `saved` is."""
        vars(self).update(saved)

    # Data memory.

    def busy(self, reads):
        """Return the byte ranges that the next layer must not write."""
        tensors = [*reads, *([self.latest] if self.latest else [])]
        return [(t.start, t.end) for t in tensors] + self.held

    def reserve(self, size, reads, skipped=0):
        """Return the start of `size` free bytes, None if there is no such place."""
        busy = self.busy(reads)
        steps = range(0, self.device.instance_size, 0x2000)
        candidates = sorted({0, *(-(-end // 4) * 4 for _, end in busy), *steps})
        free = [
            s
            for s in candidates
            if s + size <= self.device.instance_size and all(s + size <= a or b <= s for a, b in busy)
        ]
        if not free:
            return None
        start = self.pick(free)
        return start + skipped

    def forget(self, start, end):
        """Older data in these bytes are lost."""
        self.tensors = [t for t in self.tensors if t.end <= start or end <= t.start]

    def place(self, shape, reads, processors, *, gap=0, width=8, extra=0, skipped=0):
        """Return a place for an output of `shape` (channels, rows, columns), None if there is none."""
        channels, rows, columns = shape
        if self.output_increment(channels, gap) > (255 if self.new else 15):
            return None
        size = skipped + 4 * (rows * columns + extra) * passes(channels) * (width // 8) * (gap + 1)
        offset = self.reserve(size, reads, skipped)
        if offset is None:
            return None
        return Place(processors, offset, offset - skipped, offset - skipped + size, gap)

    @staticmethod
    def output_increment(channels, gap):
        return passes(channels) * (gap + 1) - 1

    # Processors.

    def processor_map(self, channels):
        """Return a contiguous map that starts at a multiple of four."""
        count = processors_per_pass(channels)
        positions = range((64 - count) // 4 + 1)
        first = 0 if self.plain else self.pick((0, 0, *positions))
        return processor_map_for(channels) << 4 * first

    # Layers.

    def reading(self, tensor, *, whole=False):
        """Return the keys of a layer that reads `tensor`; `whole`: element-wise, where naming the input is wrong."""
        keys = {"processors": tensor.processors, "in_offset": tensor.offset}
        named = tensor.sources != (self.last,) or any(tensor.crop) or self.rarely()
        if named and not (whole and tensor.sources == (INPUT,)):
            keys["in_sequences"] = list(tensor.sources)
        if tensor.gap:
            keys["read_gap"] = tensor.gap
        if any(tensor.crop):
            keys["in_crop"] = list(tensor.crop)
        if tensor.reshaped or (len(tensor.sources) == 1 and self.rarely()):
            keys["in_dim"] = [tensor.rows, tensor.columns]
        if tensor.reshaped and len(tensor.sources) > 1:
            keys["in_channels"] = tensor.channels
        if tensor.sources == (BUFFER,):
            keys |= {"in_channels": tensor.channels, "in_dim": tensor.rows}
        return keys

    def add(self, keys, shape, place, weights=None, *, hidden=False):
        """Append a layer; return its output, which others may read unless `hidden`."""
        keys = keys | {"output_processors": place.processors, "out_offset": place.offset}
        if place.gap:
            keys["write_gap"] = place.gap
        if weights is not None:
            self.weights[len(self.layers)] = weights
        self.layers.append(keys)
        self.used.append((place.start, place.end))
        self.forget(place.start, place.end)
        output = Tensor((self.last,), *shape, place.processors, place.offset, place.start, place.end, place.gap)
        self.latest = output
        if not hidden:
            self.tensors.append(output)
        return output

    # Kernel and bias memory.

    def kernels(self, shape, tensor, processors, *, area, groups=1, pixels=1, bias=True):
        """Draw weights of `shape`, as (keys, Weights); None if kernel memory has no room for them.

        `area` are the taps the hardware stores, `pixels` those of a flattened input. Where they are more than the
        kernel has, zeros are stored between, which binary weights do not have.
        """
        whole = tensor.channels == tensor.passes * processors_per_pass(tensor.channels) or groups > 1
        widths = [8, 8, 4, 2, self.narrow] if lowest(processors) % 4 == 0 and whole else [8]
        bits = self.pick(widths)
        if bits == -1 and area > shape[2] * shape[3]:
            bits = 2
        backward = self.large(tensor.processors)
        if backward and self.backward:
            return None
        columns = kernel_columns(processors, shape[0], tensor.passes, area, bits, groups, pixels)
        limit = self.column_limit(groups > 1)
        if self.columns + columns > limit:
            return None
        biased = bias and self.flag()
        length = self._bias_length(shape[0], processors, groups)
        biased = biased and self.bias_bytes + length <= self.device.bias_size
        self.columns += columns
        self.bias_bytes += length if biased else 0
        self.depthwise |= groups > 1
        self.backward |= backward
        return self._drawn(shape, bits, biased)

    def large(self, processors):
        """Whether kernels for these processors are placed from the end of memory."""
        return self.new and not processors & ~_LARGE

    def column_limit(self, grouped):
        if not self.new:
            return 764
        return 600 if self.plain else 1000 if grouped or self.depthwise else 4000

    @staticmethod
    def _bias_length(channels, processors, groups):
        if groups > 1:
            return 16 * passes(channels) + 4
        return channels + 4 + lowest(processors) % 4 * passes(channels)

    def _drawn(self, shape, bits, biased):
        number = len(self.weights)
        kernels = random_kernels(shape, bits, self.seed + number)
        if not kernels.any():
            kernels.flat[0] = -1
        generator = np.random.default_rng([self.seed, number])
        bias = generator.integers(-128, 128, shape[0]) if biased else None
        implicit = 8 - abs(bits)
        shift = self.pick((0, -1, -2, -4, -6, 1, 3, -15 - implicit, 15 - implicit))
        keys = {}
        if bool((np.abs(kernels) <= 1).all()) or self.flag():
            keys["quantization"] = "binary" if bits == -1 else bits
        if self.flag():
            keys["output_shift"] = shift
        return keys, Weights(kernels, bias, bits, shift)

    def shared(self, number, tensor, processors, columns):
        """Count the kernels of a layer that uses those of layer `number` once more; False if they do not fit."""
        if self.columns + columns > self.column_limit(False) or self.large(tensor.processors):
            return False
        weights = self.weights[number]
        length = 0 if weights.bias is None else self._bias_length(len(weights.bias), processors, 1)
        if self.bias_bytes + length > self.device.bias_size:
            return False
        self.columns += columns
        self.bias_bytes += length
        return True


def kernel_columns(processors, channels_out, input_passes, area, bits, groups=1, pixels=1):
    """Return an upper bound of the columns that kernels take in each processor."""
    per_byte, rounds = 8 // abs(bits), passes(channels_out)
    first = lowest(processors) // 4 * 4 if rounds > 1 else lowest(processors)
    span = processors.bit_length() - first
    kernels = input_passes * pixels * (1 if groups > 1 else span * rounds)
    length = -(-(kernels * area * abs(bits) + kernels % per_byte * area * (per_byte - 1)) // 72)
    lead = lowest(processors) % 4 * area * input_passes * rounds
    return (length + lead + 4 + 3) // 4 * 4


def reshaped(tensor, rows, columns):
    """Return `tensor` with other dimensions."""
    return replace(tensor, rows=rows, columns=columns, reshaped=True)
