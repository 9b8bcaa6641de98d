"""Comparison of the virtual device, which executes the program's stores, with the integer engine, layer by layer.

Every layer is compared as it was written; outputs, and data that a data buffer keeps for the next inference, are also
compared as they are in data memory at the end. Needs neither torch nor a compiler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.device.registers import registers
from ai8x_tool.engine import LayerTensors
from ai8x_tool.lowering.configure import layer_writes
from ai8x_tool.lowering.program import Program, ProgramSample
from ai8x_tool.lowering.program_stores import step_stores
from ai8x_tool.mapping.regions import OutputSlot, layer_region, output_slots
from ai8x_tool.network.layer import Layer
from ai8x_tool.text import counted
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


@dataclass(frozen=True)
class HardwareCheck:
    """Engine ≡ virtual device for one sample: layers in order of execution, and the device's diagnostics."""

    layers: tuple[LayerCheck, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def equal(self) -> bool:
        """True if every value of every layer is equal, and memory still holds every output at the end."""
        return not any(layer.different for layer in self.layers)

    @property
    def problems(self) -> list[Diagnostic]:
        """The device's diagnostics other than mere notes."""
        return [d for d in self.diagnostics if d.severity != "note"]

    def text(self) -> str:
        """Return the result as a line."""
        if self.equal:
            values = sum(layer.values for layer in self.layers)
            layers = counted(len(self.layers), "layer")
            return f"virtual device ≡ integer engine: {layers}, {values:,} values, all equal"
        return next(layer.text() for layer in self.layers if layer.different)

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "equal": self.equal,
            "layers": [
                {"index": c.index, "values": c.values, "different": c.different, "first": c.first and vars(c.first)}
                for c in self.layers
            ],
            "diagnostics": [{"severity": d.severity, "message": str(d)} for d in self.diagnostics],
        }


class ProgramCheck:
    """A program on a virtual device, which runs one sample after another.

    With `strict`, diagnostics of the device raise Ai8xError. A network with a rolling buffer is restarted for each
    sample, since its outputs depend on the samples before.
    """

    def __init__(self, program: Program, *, strict: bool = False) -> None:
        self.program = program
        self.strict = strict
        self._device = self._loaded()

    def _loaded(self) -> VirtualDevice:
        return VirtualDevice(self.program.mapping.device, strict=self.strict).load(self.program.setup_stores())

    def check(self, sample: ProgramSample, tensors: LayerTensors) -> HardwareCheck:
        """Run `sample` and compare every layer with the engine's `tensors`."""
        program, device = self.program, self._device
        device.load(program.run_stores(sample))
        for _ in range(len(tensors.order) - 1 if program.options.one_shot else 0):
            device.load(step_stores(program.go)).load(step_stores(program.go))  # acknowledge, then continue
        device.run()
        result = compare_run(program, tensors, device)
        if program.mapping.network.buffer is not None:
            self._device = self._loaded()
        return result


def check_program(
    program: Program, sample: ProgramSample, tensors: LayerTensors, *, strict: bool = False
) -> HardwareCheck:
    """Run the program's stores for `sample` on a virtual device; compare every layer with the engine's `tensors`."""
    return ProgramCheck(program, strict=strict).check(sample, tensors)


def compare_run(program: Program, tensors: LayerTensors, device: VirtualDevice) -> HardwareCheck:
    """Compare what a device computed, and what its memory holds now, with the engine's `tensors`."""
    kept = _kept_words(program, tensors)
    layers = [program.mapping.network[index] for index in tensors.order]
    results = [_check_layer(program, layer, tensors, device, kept) for layer in layers]
    replaced = [diagnostic for _, diagnostic in results if diagnostic is not None]
    return HardwareCheck(tuple(check for check, _ in results), (*device.diagnostics, *replaced))


def _kept_words(program: Program, tensors: LayerTensors) -> dict[int, Array | None]:
    """Return the layers whose data must be in memory at the end.

    These are outputs and what is unloaded (None), and layers that fill the rolling buffer: for the latter,
    (instances, words) marks the words that no later layer replaces.
    """
    network = program.mapping.network
    layers = [network[index] for index in tensors.order]
    buffered = [layer for layer in layers if layer.buffer_shift or layer.buffer_insert]
    shape = PROCESSORS // PROCESSORS_PER_INSTANCE, program.mapping.device.instance_size // 4
    owner = np.full(shape if buffered else 0, -1, np.int16)
    for layer in buffered:
        for slot in output_slots(layer_region(program.mapping[layer.index])):
            owner[slot.instance, slot.offsets // 4] = layer.index
    kept: dict[int, Array | None] = {layer.index: owner == layer.index for layer in buffered}
    regions = {replace(region, final_scale=0) for region in program.unload}
    written = {replace(layer_region(program.mapping[layer.index]), final_scale=0): layer.index for layer in layers}
    kept |= {index: None for region, index in written.items() if region in regions}
    return kept | {layer.index: None for layer in layers if layer.output or layer is layers[-1]}


def _check_layer(
    program: Program, layer: Layer, tensors: LayerTensors, device: VirtualDevice, kept: dict[int, Array | None]
) -> tuple[LayerCheck, Diagnostic | None]:
    """Return the comparison, and a warning if values to be kept were overwritten with equal ones."""
    expected = tensors.outputs[layer.index][0].reshape(layer.channels_out, -1)
    hardware = program.mapping[layer.index].hardware_index
    run = device.layers.get(hardware)
    actual, written = np.zeros(expected.shape, np.int32), np.zeros(expected.shape, bool)
    held, replaced = actual.copy(), np.zeros(expected.shape, bool)
    if run is not None:
        image = WrittenImage(run.written)
        for slot in output_slots(layer_region(program.mapping[layer.index])):
            found = image.find(slot.instance, slot.offsets // 4, np.array(slot.lanes))
            actual[slot.channels, :], written[slot.channels, :] = found
            if layer.index in kept:
                held[slot.channels, :], writers = _held(device, layer, slot)
                words = kept[layer.index]
                replaced[slot.channels, :] = writers != hardware
                if words is not None:
                    replaced[slot.channels, :] &= words[slot.instance, slot.offsets // 4]
    wrong = ~written | (actual != expected)
    replaced &= ~wrong
    lost = replaced & (held != expected)
    actual = np.where(lost, held, actual)
    first = _first(layer, expected, actual, written, wrong, lost) if (wrong | lost).any() else None
    shown = _registers(program, layer) if first is not None else ""
    check = LayerCheck(layer.index, layer.label, expected.size, int((wrong | lost).sum()), first, shown)
    same = int((replaced & ~lost).sum())
    text = f"another layer overwrote {same:,} values that must be in memory at the end, by chance with equal values"
    return check, Diagnostic("warning", text, layer=hardware) if same else None


def _held(device: VirtualDevice, layer: Layer, slot: OutputSlot) -> tuple[Array, Array]:
    """Return the contents of an output slot, and the hardware layers that wrote them: (channels, pixels) each."""
    base = device.device.instance(slot.instance * PROCESSORS_PER_INSTANCE)
    wide = layer.output_width == 32
    offsets = slot.offsets + 4 * np.array(slot.lanes)[:, None] if wide else slot.offsets
    # Addresses beyond the memory count as never written.
    addresses = base + np.where(offsets < device.device.instance_size, offsets, 0)
    words, writers = np.ascontiguousarray(device.words(addresses), "<u4"), device.writers(addresses)
    if wide:
        return words.view(np.int32), writers[..., 0]
    lanes = list(slot.lanes)
    return words.view(np.int8).reshape(len(words), -1)[:, lanes].T.astype(np.int32), writers[:, lanes].T


def _first(layer: Layer, expected: Array, actual: Array, written: Array, wrong: Array, lost: Array) -> Difference:
    channel, pixel = np.argwhere(wrong | lost)[0].tolist()
    row, column = divmod(pixel, layer.out_size[1])
    value = int(actual[channel, pixel]) if written[channel, pixel] else None
    is_lost = bool(lost[channel, pixel])
    return Difference(channel, row, column, int(expected[channel, pixel]), value, is_lost)


def _registers(program: Program, layer: Layer) -> str:
    """Return the layer's registers in the master quadrant, except those that are 0."""
    mapped, master = program.mapping[layer.index], program.mapping.quadrants[0]
    known = registers(program.mapping.device)
    writes = [w for w in layer_writes(mapped, program.context, master) if w.register in known and w.value]
    return ", ".join(f"{w.register} {w.value:x}" for w in writes if not w.note)
