"""Simulation of all reads and writes of data memory, in the order of the accelerator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ai8x_tool.device.distinct import distinct
from ai8x_tool.mapping.mapping import LayerMapping, Mapping
from ai8x_tool.mapping.placement import UnloadItem
from ai8x_tool.mapping.replay.conflict import Conflict, Kind
from ai8x_tool.mapping.replay.labels import ANYTHING, Labels, LabelTable, Tensors
from ai8x_tool.mapping.replay.places import (
    INSTANCES,
    LANES,
    NEVER,
    Array,
    Form,
    ReadPlaces,
    Writing,
    byte_places,
    clearing_word,
    last_reads,
    members,
    reading,
    region_places,
    value_places,
    window_blocks,
    writing,
)
from ai8x_tool.mapping.streaming import rollover
from ai8x_tool.network.layer import BINARY, INPUT, Source
from ai8x_tool.network.sizes import processors_per_pass


class LabeledMemory:
    """Contents of `size` words of each instance, as labels of bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes: Labels = np.zeros(INSTANCES * size * LANES, np.int32)
        self.words = self.bytes.reshape(-1, LANES)


class DataWalk:
    """Simulation of one inference: the layers run in `order` and perform all their reads and writes."""

    def __init__(self, mapping: Mapping, order: Sequence[str]) -> None:
        self.mapping = mapping
        self.layers = [mapping[name] for name in order]
        self.register = LabelTable()
        self.tensors = Tensors(mapping.network, self.register)
        self.memory = LabeledMemory(mapping.device.instance_size // 4)
        self.side: LabeledMemory | None = None
        self.rings: list[tuple[LayerMapping, Array]] = []
        self.zero: Labels = np.zeros(1, np.int32)

    def run(self) -> Iterator[Conflict]:
        """Yield all conflicts."""
        yield from self._start()
        before: Source = INPUT
        for number, at in enumerate(self.layers):
            following = self.layers[number + 1] if number + 1 < len(self.layers) else None
            yield from self._execute(at, before, following)
            before = at.layer.name
        yield from self._end()

    # -- Before the first layer ----------------------------------------------------------------------------------------

    def _start(self) -> Iterator[Conflict]:
        """Store the data left by the last inference, then the input, then the rolling buffers."""
        if self.tensors.buffer is not None:
            self._put(self.memory, self._buffer_places(), self.tensors.buffer.transpose(1, 0, 2))
        at = self.layers[0]
        fifo, streams = self.mapping.options.fifo, at.streaming and self.mapping.options.fifo
        pixels = self.tensors[INPUT][0].size
        if streams:
            self.side = LabeledMemory(pixels)
        target = self.memory if self.side is None else self.side
        first = 0 if streams else at.input_offset // 4
        words = pixels if fifo else pixels * at.view.input_passes * at.layer.operands
        if first + (-(-words // LANES) if at.chw else words) > target.size:
            yield self._outside(at, "the input", first, target.size)
            return
        labels = self.tensors[INPUT].reshape(-1, pixels)
        places = self._fed(at, target, first) if fifo else self._stored(at, first)
        if places.shape == labels.shape:
            labels, places = labels[places >= 0], places[places >= 0]
            self.zero = unused = self.register.new("an unused byte of the input")
            for quadrant in range(4 if self.mapping.options.quad else 1):
                here = places + 4 * quadrant * target.size * LANES
                target.words[here // LANES] = unused
                target.bytes[here] = labels
        if streams:
            yield from self._start_rings()

    def _put(self, memory: LabeledMemory, places: Array, labels: Labels) -> None:
        flat = labels.reshape(places.shape)
        known = flat != ANYTHING
        memory.bytes[places[known]] = flat[known]

    def _buffer_places(self) -> Array:
        """Return the places of the rolling buffer: (channels, positions)."""
        buffer, where = self.mapping.network.buffer, self.mapping.placement.buffer
        assert buffer is not None and where is not None
        per_pass, pixels = processors_per_pass(buffer.channels), buffer.size[0] * buffer.size[1]
        form = Form(where.offset // 4)
        return region_places(where.processors, buffer.channels, per_pass, pixels, form, self.memory.size)

    def _stored(self, at: LayerMapping, first: int) -> Array:
        """Return the places in which the host stores the input; operands are interleaved word by word."""
        layer, size, pixels = at.layer, self.memory.size, self.tensors[INPUT][0].size
        if at.chw:
            return byte_places(at.own_processors, layer.channels_in, pixels, first, size)
        form = Form(first, layer.operands - 1)
        one = region_places(at.own_processors, layer.channels_in, at.view.inputs_per_pass, pixels, form, size)
        return np.concatenate([one + LANES * operand for operand in range(layer.operands)])

    def _fed(self, at: LayerMapping, memory: LabeledMemory, first: int) -> Array:
        """Return the places to which the FIFOs write the input, −1 for channels that they drop.

        FIFO i fills the first instance of quadrant i; the fast FIFO, of which there is one, that of its quadrant.
        """
        channel, pixels = np.arange(len(self.tensors[INPUT])), np.arange(self.tensors[INPUT][0].size)
        step, fed = (1, 1) if at.chw else (LANES, 0xF)
        quadrants = [q for q in range(4) if at.own_processors >> 16 * q & fed] or [0]
        if self.mapping.options.fast_fifo:
            quadrants = quadrants[:1]
        number = channel // step
        quadrant = np.array(quadrants)[number % len(quadrants)]
        base = LANES * (4 * quadrant * memory.size + first)
        if at.chw:
            kept = channel < min(at.layer.channels_in, len(quadrants))
            return np.where(kept[:, None], base[:, None] + pixels, -1)
        limit = min(at.layer.channels_in, step * len(quadrants))
        kept = (channel < limit) & np.isin(16 * quadrant + channel % LANES, members(at.own_processors))
        return np.where(kept[:, None], (base + channel % LANES)[:, None] + LANES * pixels, -1)

    def _start_rings(self) -> Iterator[Conflict]:
        """Reserve all rolling buffers from the beginning, because streaming layers run at the same time."""
        for at in self.layers:
            if not at.streaming:
                return
            first, size = at.input_offset // 4, self.memory.size
            last = first + rollover(at, self.mapping.placed)
            if last > size:
                yield self._outside(at, "its rolling buffer", last, size)
            instances = distinct(members(at.processors) // LANES)
            words = (instances[:, None] * size + np.arange(first, min(last, size))).reshape(-1)
            yield from self._into_rings(at, words)
            self.memory.words[words] = self.register.new(f"the rolling buffer of {at.layer.label}")
            self.rings.append((at, words))

    def _into_rings(self, at: LayerMapping, words: Array) -> Iterator[Conflict]:
        for other, ring in self.rings:
            common = np.intersect1d(words, ring, assume_unique=True)
            if len(common):
                victim = f"the rolling buffer of {other.layer.label}"
                yield self._conflict("ring", at, victim, LANES * int(common[0]), count=len(common))

    # -- Layers --------------------------------------------------------------------------------------------------------

    def _execute(self, at: LayerMapping, before: Source, following: LayerMapping | None) -> Iterator[Conflict]:
        """Perform the reads, then the writes of a layer.

        Streaming layers read the preceding layer from a memory of its own, as large as necessary.
        """
        if at.resets_accumulator and first_fits(at, self.memory):
            words = self.memory.words
            words[clearing_word(at, self.memory.size)] = self.register.new(f"the accumulator reset of {at.layer.label}")
        source, first = self.memory, at.input_offset // 4
        if at.streaming and self.side is not None:
            source, first = self.side, 0 if at is self.layers[0] else first
        read = reading(at, source.size, first)
        expected = self.tensors.expected(at.layer, before)
        if at.processors != at.own_processors:
            expected = np.tile(expected, (4, 1, 1))
        inside = read.top < source.size
        if inside:
            yield from self._read(at, read, expected, source)
        elif source is self.memory:
            yield self._outside(at, "its input", read.top, source.size)
        else:
            yield self._conflict("read", at, self.register.name(int(expected.flat[0])), 0, found="less")
        yield from self._compute(at, read if inside and source is self.memory else None, following)

    def _compute(self, at: LayerMapping, read: ReadPlaces | None, following: LayerMapping | None) -> Iterator[Conflict]:
        written = writing(at, self.memory.size)
        streams_on = at.streaming and following is not None and following.streaming
        target = self.memory
        if streams_on:
            target = LabeledMemory(written.top + 1)
            written = writing(at, target.size)
        self.side = target if streams_on else None
        labels = self.tensors.make(at.layer)
        if written.top >= target.size or int(written.words.max()) >= len(target.words):
            yield self._outside(at, "its output", written.top, target.size)
            return
        if not streams_on:
            if at.streaming:
                yield from self._into_rings(at, distinct(written.words))
            if read is not None:
                yield from self._own_input(at, read, written)
        target.words[written.words] = self.register.new(f"scratch data of {at.layer.label}")
        labels, places = labels[written.written], written.places[written.written]
        places = places[:, written.skipped : written.skipped + labels.shape[1]]
        for byte in range(1 if at.layer.output_width == 8 else LANES):
            target.bytes[places + byte] = labels

    def _read(self, at: LayerMapping, read: ReadPlaces, expected: Labels, source: LabeledMemory) -> Iterator[Conflict]:
        """Yield conflicts for data read by a layer that differ from those it should read."""
        if expected.shape != read.places.shape:
            victim, place = self.register.name(int(expected.flat[0])), int(read.places.flat[0])
            yield self._conflict("read", at, victim, place, found="data of another size", count=expected.size)
            return
        found = source.bytes[read.places]
        wrong = (found != expected) & (read.windows > NEVER)
        if wrong.any():
            wrong &= expected != ANYTHING
            yield from self._different("read", at, expected[wrong], found[wrong], read.places[wrong])
        if at.layer.bits == BINARY and not at.layer.depthwise:
            yield from self._surplus(at, source)

    def _surplus(self, at: LayerMapping, source: LabeledMemory) -> Iterator[Conflict]:
        """Yield a conflict for nonzero data of processors without channel in a pass: no binary weight is 0."""
        first, channels = at.input_offset // 4, at.layer.channels_in
        every = replace(at.layer, channels_in=at.view.input_passes * at.view.inputs_per_pass)
        places = reading(replace(at, layer=every), source.size, first).places[:, channels:]
        wrong = source.bytes[places] != self.zero
        if wrong.any():
            found = self.register.name(int(source.bytes[places][wrong][0]))
            yield self._conflict("read", at, "zeros for unused processors", int(places[wrong][0]), found=found)

    def _own_input(self, at: LayerMapping, read: ReadPlaces, written: Writing) -> Iterator[Conflict]:
        """Yield conflicts for input words that a layer changes before their last read."""
        low, high = int(read.places.min()) // LANES, int(read.places.max()) // LANES
        if int(written.words.max()) < low or int(written.words.min()) > high:
            return
        last = last_reads(read, len(self.memory.words), shared=at.chw)[written.words]
        early = last > written.windows
        if early.any():
            word = int(written.words[early].min())
            lanes = self.memory.words[word]
            victim = self.register.name(int(min(lanes[lanes > 0], default=0)))
            yield self._conflict("early", at, victim, LANES * word, count=int(early.sum()))
        if at.readahead:
            yield from self._read_ahead(at, read, written)

    def _read_ahead(self, at: LayerMapping, read: ReadPlaces, written: Writing) -> Iterator[Conflict]:
        """Yield a conflict for a memory block that a layer writes while it reads the next window from it."""
        block = self.mapping.device.sub_instance_size // 4
        word, following = written.words % self.memory.size, written.windows + 1
        instances = distinct(read.places // LANES // self.memory.size)
        blocks = window_blocks(at, at.input_offset // 4, block)
        ahead = blocks[np.minimum(following, len(blocks) - 1)]
        meets = ((word // block)[..., None] == ahead).any(axis=-1) & (following < len(blocks))
        meets &= np.isin(written.words // self.memory.size, instances)
        if meets.any():
            place = LANES * int(written.words[meets].min())
            yield self._conflict("read-ahead", at, "its input", place, count=int(meets.sum()))

    # -- After the last layer ------------------------------------------------------------------------------------------

    def _end(self) -> Iterator[Conflict]:
        """Yield conflicts for lost data: outputs, data to be unloaded, and data that the next inference reads."""
        for at in self.layers:
            if at.layer.output or self._is_unloaded(at):
                labels = self.tensors[at.layer.name]
                yield from self._kept(at, value_places(at, self.memory.size), labels, at.layer.output_width)
        if self.tensors.buffer is not None:
            labels = self.tensors.buffer.transpose(1, 0, 2)
            yield from self._kept(self.layers[-1], self._buffer_places(), labels, 8)

    def _kept(self, at: LayerMapping, places: Array, labels: Labels, width: int) -> Iterator[Conflict]:
        expected = labels.reshape(places.shape)
        for byte in range(width // 8 if width > 8 else 1):
            here = places + byte
            if int(here.max()) >= len(self.memory.bytes):
                return  # reported when it was written
            found = self.memory.bytes[here]
            wrong = (found != expected) & (expected != ANYTHING)
            if wrong.any():
                yield from self._different("end", at, expected[wrong], found[wrong], here[wrong])
                return

    def _is_unloaded(self, at: LayerMapping) -> bool:
        """Return whether a layer is the last one that writes an item to be unloaded."""
        return any(self._last_writer(item) is at for item in self.mapping.placement.unload)

    def _last_writer(self, item: UnloadItem) -> LayerMapping | None:
        place = item.offset, item.processors, item.channels
        same = [at for at in self.layers if (at.out_offset, at.output_map, at.layer.channels_out) == place]
        return same[-1] if same else None

    # -- Conflicts -----------------------------------------------------------------------------------------------------

    def _different(
        self, kind: Kind, at: LayerMapping, expected: Labels, found: Labels, places: Array
    ) -> Iterator[Conflict]:
        """Yield one conflict for each tensor with values that are not where they should be."""
        owners = self.register.owners(expected)
        for owner in distinct(owners).tolist():
            chosen = np.flatnonzero(owners == owner)
            first = int(chosen[0])
            victim, other = (self.register.name(int(labels[first])) for labels in (expected, found))
            if other == victim:
                other = "another value of it"
            yield self._conflict(kind, at, victim, int(places[first]), found=other, count=len(chosen))

    def _conflict(
        self, kind: Kind, at: LayerMapping, victim: str, place: int, *, found: str = "", count: int = 1
    ) -> Conflict:
        instance, word = divmod(place // LANES, self.memory.size)
        return Conflict(kind, at.layer.label, victim, instance, word, found, count, at.where)

    def _outside(self, at: LayerMapping, victim: str, word: int, size: int) -> Conflict:
        instance = int(members(at.output_map if victim == "its output" else at.processors)[0]) // LANES
        return Conflict("outside", at.layer.label, victim, instance, word, "", word - size + 1, at.where)


def first_fits(at: LayerMapping, memory: LabeledMemory) -> bool:
    """Return whether the word exists that the hidden layer before a layer writes."""
    return clearing_word(at, memory.size) < len(memory.words)
