"""The state of the accelerator and the execution of its layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE, Device
from ai8x_tool.virtual import arithmetic
from ai8x_tool.virtual.address_map import INSTANCES_PER_QUADRANT
from ai8x_tool.virtual.bias_memory import BiasMemory
from ai8x_tool.virtual.consistency import check_layer, check_power, exceeds_model, has_output
from ai8x_tool.virtual.data_memory import HOST, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.fifo import Fifos, FrameInput
from ai8x_tool.virtual.history import History, check_stream_input
from ai8x_tool.virtual.kernel_memory import KernelMemory
from ai8x_tool.virtual.kernels import load_kernels
from ai8x_tool.virtual.layer import HardwareLayer, Kind, decode_layer
from ai8x_tool.virtual.memo import Memo
from ai8x_tool.virtual.own_input import check_own_input
from ai8x_tool.virtual.read_ahead import check_read_ahead
from ai8x_tool.virtual.read_side import Reading, read_input
from ai8x_tool.virtual.redundancy import Place, check_redundant, tram_entries
from ai8x_tool.virtual.registers import RegisterFile
from ai8x_tool.virtual.rings import Ring, Rings
from ai8x_tool.virtual.snoop import Verdict, snoop
from ai8x_tool.virtual.stream_checks import Producer, StreamRegisters, check_frame, check_stream, check_unused_stream
from ai8x_tool.virtual.write_side import (
    Written,
    highest_word,
    inside,
    nothing_written,
    place_copies,
    place_depthwise,
    place_outputs,
    store,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Work:
    """Intermediate values of a layer: `input` (passes, processors, rows, columns) of int8, after pooling and operators.

    `weights` is (outputs, passes, processors, taps) of int8, without outputs for depthwise layers, and `sums`
    (outputs, rows, columns), or (passes, processors, rows, columns), the accumulators with bias (int64); both are None
    for passthrough layers.
    """

    input: Array
    weights: Array | None = None
    sums: Array | None = None


@dataclass(frozen=True, eq=False)
class LayerRun:
    """One executed layer: its decoded registers and its output.

    `work` holds intermediate values; it is None except in hooks and on devices that keep a trace.
    """

    layer: HardwareLayer
    written: Written
    work: Work | None = None

    @property
    def tensor(self) -> npt.NDArray[Any]:
        """The layer's output: (outputs, pixels), pixels row by row; unused lanes count as outputs."""
        values = self.written.values
        return values.reshape(-1, values.shape[-1]) if values.size else values.reshape(0, 0)


@dataclass(eq=False)
class Machine:
    """State of the accelerator: registers and memories; `hooks` are called after every layer."""

    device: Device
    registers: RegisterFile
    data: DataMemory
    kernels: KernelMemory
    biases: BiasMemory
    fifos: Fifos
    diagnostics: Diagnostics
    hooks: list[Callable[[LayerRun], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memo = Memo(self.registers, self.kernels, self.biases)

    @classmethod
    def of(cls, device: Device, diagnostics: Diagnostics) -> Machine:
        """Return a machine in its state after power-on."""
        return cls(
            device=device,
            registers=RegisterFile(device),
            data=DataMemory(device.instance_size // 4),
            kernels=KernelMemory(device, diagnostics),
            biases=BiasMemory(device),
            fifos=Fifos(),
            diagnostics=diagnostics,
        )


class Run:
    """One run: the sequence of layers from a start to its completion."""

    def __init__(self, machine: Machine, quadrants: tuple[int, ...], master: int, frame: FrameInput | None) -> None:
        self.machine, self.quadrants, self.master, self.frame = machine, quadrants, master, frame
        count = machine.registers.fields("LCNT", master)
        self.first, self.last = count["first"], count["last"]
        if not machine.device.next_layer:
            self.first = 0
        self.position: int | None = self.first
        self.streaming = bool(machine.registers.fields("CTL", master)["stream"])
        self._side: DataMemory | None = None
        self._history = History(machine.data, machine.diagnostics)
        self._rings = Rings(machine.diagnostics)
        self._fed: frozenset[int] = frozenset()
        self._executed = 0
        self._tram = 0
        self._passes = 0
        self._one_bit = False
        self._producer: Producer | None = Producer(None, frame.words) if frame else None

    @property
    def untouched(self) -> bool:
        """True until the first layer has been executed."""
        return self._executed == 0

    @property
    def finished(self) -> bool:
        """True if no layer remains to be executed."""
        return self.position is None

    def step(self) -> None:
        """Execute the layer at the current position and move to the next one."""
        if self.position is None:
            return
        index = self.position
        self._executed += 1
        if index >= self.machine.device.layers:
            text = f"layer {index} does not exist: the device has {self.machine.device.layers} layers"
            self.machine.diagnostics.report("error", text, layer=index, register="LCNT")
            self.position = None
            return
        if self._executed > self.machine.device.layers:
            text = f"more than {self.machine.device.layers} layers were executed: the sequence has no end"
            self.machine.diagnostics.report("error", text, layer=index, register="NEXT")
            self.position = None
            return
        written, memory = self._execute(index)
        self.position = self._following(index, self._snoop(index, written, memory))
        self._check_link(index)
        if self.position is None:
            self._check_end()

    def close(self) -> None:
        """Perform the checks that are possible only at the end of the run."""
        self._history.close()

    def _streams(self, index: int) -> bool:
        return self.streaming and (index == self.first or self.machine.registers.read("STR1", self.master, index) != 0)

    def _successor(self, index: int) -> int | None:
        """Return the next layer, disregarding conditional jumps; None at the end of the sequence."""
        link = self.machine.registers.fields("NEXT", self.master, index)
        if link and link["stop"]:
            return None
        if link and link["link"]:
            return link["target"]
        return None if index == self.last else index + 1

    def _check_link(self, index: int) -> None:
        """Check that the NEXT register agrees with the last layer of LCNT."""
        link = self.machine.registers.fields("NEXT", self.master, index)
        if not link:
            return
        found = []
        if link["target"] and not link["link"]:
            found.append(f"names layer {link['target']}, but does not continue there")
        if link["link"] and link["stop"]:
            found.append("sets both stop and link")
        if link["stop"] and index != self.last:
            found.append(f"stops, but the last layer is {self.last}")
        if link["link"] and not link["stop"] and index == self.last:
            found.append("continues, but this is the last layer")
        for text in found:
            self.machine.diagnostics.report("warning", text, layer=index, register="NEXT")

    def _check_end(self) -> None:
        control = self.machine.registers.fields("CTL", self.master)
        if control["binary"] and not self._one_bit and not control.get("snoop"):
            text = "binary = 1, but no layer that was executed has 1-bit weights"
            self.machine.diagnostics.report("note", text, quadrant=self.master, register="CTL")

    def _following(self, index: int, verdict: Verdict) -> int | None:
        link = self.machine.registers.fields("NEXT", self.master, index)
        if verdict.stop:
            return None
        if link and link["link"] and not link["stop"] and verdict.jump is False:
            return None if index == self.last else index + 1
        return self._successor(index)

    def _snoop(self, index: int, written: Written, memory: DataMemory) -> Verdict:
        machine = self.machine
        if not machine.registers.fields("CTL", self.master).get("snoop"):
            return Verdict(stop=False, jump=None)
        shift = machine.device.write_instance_shift
        return snoop(machine.registers, index, self.master, written, memory, shift, machine.diagnostics)

    def _execute(self, index: int) -> tuple[Written, DataMemory]:
        machine = self.machine
        layer = machine.memo.get(("layer", *self._key(index)), lambda: self._decoded(index))
        self._check_place(layer)
        source, pointer = self._source(layer)
        written, work, reading = self._compute(layer, source, pointer)
        check_power(machine.registers, machine.device, layer, written, machine.diagnostics)
        target = self._target(layer, written)
        if reading is not None:
            self._check_reading(reading, written, source)
        written = inside(layer, written, target, machine.diagnostics)
        if target is machine.data:
            self._history.writes(layer, written)
        store(layer, written, target)
        for hook in machine.hooks:
            hook(LayerRun(layer, written, work))
        return written, target

    def _key(self, index: int) -> tuple[Hashable, ...]:
        """Return what the decoded registers of a layer depend on apart from these registers."""
        return index, self.quadrants, self.master, self.first, self.machine.registers.read("CTL", self.master)

    def _decoded(self, index: int) -> HardwareLayer:
        machine = self.machine
        layer = decode_layer(machine.registers, machine.device, index, self.quadrants, self.master, self.first)
        check_layer(machine.registers, machine.device, layer, self.master, machine.diagnostics)
        return layer

    def _target(self, layer: HardwareLayer, written: Written) -> DataMemory:
        """Return the memory that a layer writes: data memory or, between streaming layers, one as large as needed.

        The device has a rolling buffer there, which destroys the previous contents of data memory.
        """
        machine, index = self.machine, layer.index
        streams = self._streams(index)
        self._producer = Producer.of(layer, written, machine.device, self.master) if streams else None
        if not streams:
            return machine.data
        self._add_ring(layer)
        self._fed = frozenset(distinct(written.instance).tolist())
        successor = self._successor(index)
        if successor is not None and self._streams(successor):
            self._side = DataMemory(max(1, highest_word(written)))
            return self._side
        self._rings.check_output(index, written)
        return machine.data

    def _check_reading(self, reading: Reading, written: Written, source: DataMemory) -> None:
        """Check the origin of a layer's input, and whether it is overwritten while it is read."""
        if source is not self.machine.data:
            check_stream_input(reading, self.machine.diagnostics)
            return
        self._history.reads(reading)
        check_own_input(reading, written, source, self.machine.diagnostics)
        check_read_ahead(reading, written, self.machine.device, self.machine.diagnostics)

    def _check_place(self, layer: HardwareLayer) -> None:
        """Check fields that depend on earlier layers, and add this layer to the counts."""
        machine, index = self.machine, layer.index
        first, streams = index == self.first, self._streams(index)
        place = Place(streams, first, self._tram)
        machine.memo.get(
            ("redundant", place, *self._key(index)),
            lambda: check_redundant(machine.registers, machine.device, layer, self.master, place, machine.diagnostics),
        )
        stream = StreamRegisters.of(machine.registers, self.master, index, self._passes)
        if streams and self._producer is not None:
            check_stream(layer, stream, self._producer, machine.data.size, machine.diagnostics)
        elif streams and not first:
            text = "streams, but the preceding layer does not"
            machine.diagnostics.report("error", text, layer=index, register="STR1")
        if not streams:
            check_unused_stream(layer, stream, first and self.frame is not None, machine.diagnostics)
        if first:
            self._check_first(layer, streams)
        self._one_bit |= layer.kernels.bits == 1
        self._tram += tram_entries(layer) * layer.passes
        tcalc = machine.registers.fields("POST", self.master, index)["tcalc"]
        self._passes += -(-layer.passes // 4) * 4 if tcalc else layer.passes

    def _check_first(self, layer: HardwareLayer, streams: bool) -> None:
        machine = self.machine
        if self.frame is not None:
            older = machine.registers.fields("RCNT", self.master, layer.index)
            rows = older["count"] + 1 - 2 * older["pad"] if "count" in older else None
            check_frame(layer, self.frame.words, rows, machine.diagnostics)
        if self.frame is not None and not layer.kernels.quad:
            self._check_group(layer)
        marked = machine.registers.fields("CTL", self.master).get("stream_chw")
        if marked is not None and bool(marked) != (streams and layer.chw):
            text = f"stream_chw = {marked}, which contradicts layer {layer.index}"
            machine.diagnostics.report("warning", text, quadrant=self.master, register="CTL")

    def _check_group(self, layer: HardwareLayer) -> None:
        """Check that the fast FIFO feeds a group unless only the first processor of each quadrant is in use."""
        control = {q: self.machine.registers.fields("CTL", q) for q in self.quadrants}
        processors = layer.processors.tolist()
        expected = processors == [0] or any(p in processors for p in (1, 2, 3))
        for quadrant in (q for q in self.quadrants if control[q]["fast_fifo"] or control[q]["fifo_group"]):
            marked = bool(control[quadrant]["fifo_group"])
            if marked != expected or not control[quadrant]["fast_fifo"]:
                text = f"fifo_group = {int(marked)}, but {int(expected)} follows from the processors"
                self.machine.diagnostics.report("warning", text, quadrant=quadrant, register="CTL")

    def _source(self, layer: HardwareLayer) -> tuple[DataMemory, int]:
        """Return the memory that a layer reads, and the first word read.

        Without streaming, FIFOs fill data memory from the first layer's read pointer on.
        """
        machine = self.machine
        if layer.index == self.first and self.frame is not None:
            frame = self.frame.frame(machine.fifos)
            fed = [INSTANCES_PER_QUADRANT * q for quadrants in self.frame.feeds.values() for q in quadrants]
            self._fed = frozenset(fed)
            if self._streams(layer.index):
                return frame, 0
            words = np.arange(layer.read_pointer, min(layer.read_pointer + frame.size, machine.data.size))
            if len(words) < frame.size:
                text = f"the frame of {frame.size:#x} words from {layer.read_pointer:#x} on exceeds data memory"
                machine.diagnostics.report("error", text, layer=layer.index, register="RPTR")
            for instance in fed:
                values = frame.load_words(instance, words - layer.read_pointer)
                machine.data.store_words(np.array(instance), words, values, HOST)
            return machine.data, layer.read_pointer
        if self._streams(layer.index) and self._side is not None:
            return self._side, layer.read_pointer
        return machine.data, layer.read_pointer

    def _add_ring(self, layer: HardwareLayer) -> None:
        """Record the rolling buffer that a streaming layer reads."""
        length = self.machine.registers.read("FMAX", self.master, layer.index)
        if length == 0:
            return
        first, end = layer.read_pointer, layer.read_pointer + length
        instances = distinct(layer.processors // PROCESSORS_PER_INSTANCE)
        self._rings.add(Ring(layer.index, first, end, frozenset(instances.tolist()), self._fed))
        self.machine.data.destroy(instances, slice(first, end))

    def _compute(self, layer: HardwareLayer, source: DataMemory, pointer: int) -> tuple[Written, Work, Reading | None]:
        """Return the output of a layer, its intermediate values, and its input (None if it reads nothing)."""
        machine, diagnostics = self.machine, self.machine.diagnostics
        if not len(layer.processors) or not has_output(layer) or exceeds_model(layer, diagnostics):
            return nothing_written(), Work(np.zeros((0, 0, 0, 0), np.int8)), None
        if layer.kind is Kind.PASSTHROUGH:
            values, reading = read_input(layer, source, pointer, None, diagnostics)
            return place_copies(layer, machine.device, values), Work(values), reading
        late = not machine.device.streaming_bias and self._streams(layer.index) and layer.index == self.first
        kernels = machine.memo.get(
            ("kernels", *self._key(layer.index)),
            lambda: load_kernels(layer, machine.kernels, machine.biases, diagnostics, late=late),
        )
        if not len(kernels.weights):
            return nothing_written(), Work(np.zeros((0, 0, 0, 0), np.int8)), None
        x, reading = read_input(layer, source, pointer, kernels.weights, diagnostics)
        if layer.kind is Kind.DEPTHWISE:
            total = arithmetic.convolve_each(layer, x, kernels.weights)
        else:
            total = arithmetic.convolve(layer, x, len(kernels.weights), kernels.taps)
        total += kernels.bias[..., None, None]
        values = arithmetic.finish(layer, total, diagnostics)
        place = place_depthwise if layer.kind is Kind.DEPTHWISE else place_outputs
        return place(layer, machine.device, values, self.master), Work(x, kernels.weights, total), reading
