"""Comparison of what the virtual device computed for one layer with what the integer engine computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE
from ai8x_tool.device.registers import registers
from ai8x_tool.lowering.configure import layer_writes
from ai8x_tool.lowering.program import Program
from ai8x_tool.mapping.regions import OutputRegion, layer_region, output_slots
from ai8x_tool.network.layer import Layer
from ai8x_tool.virtual import Diagnostic, VirtualDevice
from ai8x_tool.virtual.lookup import WrittenImage

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """The first element of a layer that differs; `actual` is None if the device never wrote it.

    `lost`: the device wrote the right value, but something replaced it; `actual` is what memory holds at the end.
    """

    channel: int
    row: int
    column: int
    expected: int
    actual: int | None
    lost: bool = False

    def text(self) -> str:
        """Return the difference as part of a line."""
        place = f"channel {self.channel}, row {self.row}, column {self.column}"
        actual = "never wrote it" if self.actual is None else f"has {self.actual}"
        if self.lost:
            actual = f"wrote this value, but memory holds {self.actual} at the end"
        return f"{place}: the engine has {self.expected}, the device {actual}"


@dataclass(frozen=True)
class LayerCheck:
    """Comparison of one layer: number of values, number of differences, the first difference, and its registers.

    Output values that memory no longer holds at the end count as different.
    """

    index: int
    label: str
    values: int
    different: int
    first: Difference | None
    registers: str

    def text(self) -> str:
        """Return the difference as a line."""
        assert self.first is not None
        share = f"{self.different:,} of {self.values:,} values differ"
        return f"{self.label}: {share}; first {self.first.text()}; registers {self.registers}"


@dataclass(frozen=True, eq=False)
class OutputPlaces:
    """Places of a layer's values in data memory: `instance` and `lane` (channels, 1), `word` (channels, pixels)."""

    instance: Array
    word: Array
    lane: Array

    @classmethod
    def of(cls, region: OutputRegion) -> OutputPlaces:
        """Return the places of all values of a region; 32-bit values fill the word of their lane."""
        instance, lane = np.zeros((2, region.channels, 1), np.int64)
        word = np.zeros((region.channels, region.pixels), np.int64)
        for slot in output_slots(region):
            channels = list(slot.channels)
            instance[channels], lane[channels, 0] = slot.instance, slot.lanes
            word[channels] = slot.offsets // 4
        return cls(instance, word + lane if region.width == 32 else word, lane)


class LayerComparison:
    """Comparison of one layer, for one sample after another."""

    def __init__(self, program: Program, layer: Layer) -> None:
        placed = program.mapping[layer.index]
        self.program, self.layer, self.hardware = program, layer, placed.hardware_index
        self.places = OutputPlaces.of(layer_region(placed))
        self.kept: Array | None = None
        """Mask of the values (channels, pixels) that must be in memory at the end, broadcast; None if none must."""

    def compare(self, expected: Array, device: VirtualDevice) -> tuple[LayerCheck, Diagnostic | None]:
        """Compare with `expected` (channels, …); also return a warning if equal values replaced those to be kept."""
        layer, places = self.layer, self.places
        expected = expected.reshape(layer.channels_out, -1)
        run = device.layers.get(self.hardware)
        if run is None:
            actual, written = np.zeros(expected.shape, np.int32), np.zeros(expected.shape, bool)
        else:
            actual, written = WrittenImage(run.written).find(places.instance, places.word, places.lane)
        wrong = ~written | (actual != expected)
        same = 0
        lost = np.zeros(expected.shape, bool)
        if run is not None and self.kept is not None:
            held, writers = self._held(device)
            replaced = self.kept & (writers != self.hardware) & ~wrong
            lost = replaced & (held != expected)
            actual = np.where(lost, held, actual)
            same = int((replaced & ~lost).sum())
        first = self._first(expected, actual, written, wrong, lost) if wrong.any() or lost.any() else None
        shown = self._registers() if first is not None else ""
        check = LayerCheck(layer.index, layer.label, expected.size, int((wrong | lost).sum()), first, shown)
        text = f"another layer overwrote {same:,} values that must be in memory at the end, by chance with equal values"
        return check, Diagnostic("warning", text, layer=self.hardware) if same else None

    def _held(self, device: VirtualDevice) -> tuple[Array, Array]:
        """Return what memory holds at the places, and the hardware layers that wrote it: (channels, pixels) each."""
        words, writers = device.words(self._addresses), device.writers(self._addresses)
        if self.layer.output_width == 32:
            return words.view(np.int32), writers[..., 0]
        lane = self.places.lane
        values = (words >> (8 * lane).astype(np.uint32)).astype(np.uint8).view(np.int8)
        return values.astype(np.int32), np.take_along_axis(writers, lane[..., None], axis=-1)[..., 0]

    @cached_property
    def _addresses(self) -> Array:
        """Addresses (channels, pixels) of the words of all values; the first of an instance for those beyond it."""
        part, places = self.program.mapping.device, self.places
        bases = [part.instance(int(i) * PROCESSORS_PER_INSTANCE) for i in places.instance[:, 0]]
        return np.array(bases)[:, None] + np.where(4 * places.word < part.instance_size, 4 * places.word, 0)

    def _first(self, expected: Array, actual: Array, written: Array, wrong: Array, lost: Array) -> Difference:
        channel, pixel = np.argwhere(wrong | lost)[0].tolist()
        row, column = divmod(pixel, self.layer.out_size[1])
        value = int(actual[channel, pixel]) if written[channel, pixel] else None
        is_lost = bool(lost[channel, pixel])
        return Difference(channel, row, column, int(expected[channel, pixel]), value, is_lost)

    def _registers(self) -> str:
        """Return the layer's registers in the master quadrant, except those that are 0."""
        program = self.program
        mapped, master = program.mapping[self.layer.index], program.mapping.quadrants[0]
        known = registers(program.mapping.device)
        writes = [w for w in layer_writes(mapped, program.context, master) if w.register in known and w.value]
        return ", ".join(f"{w.register} {w.value:x}" for w in writes if not w.note)
