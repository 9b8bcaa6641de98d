"""The state of the accelerator and the execution of its layers. spec: execution, sections 3, 7 to 9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE, Device
from ai8x_tool.virtual import arithmetic
from ai8x_tool.virtual.bias_memory import BiasMemory
from ai8x_tool.virtual.consistency import check_layer, check_power, exceeds_model, has_output
from ai8x_tool.virtual.data_memory import HOST, DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.fifo import Fifos, FrameInput
from ai8x_tool.virtual.kernel_memory import KernelMemory
from ai8x_tool.virtual.kernels import fetch_depthwise, fetch_kernels, output_count
from ai8x_tool.virtual.layer import HardwareLayer, Kind, decode_layer
from ai8x_tool.virtual.read_side import read_input
from ai8x_tool.virtual.redundancy import Place, check_redundant, tram_entries
from ai8x_tool.virtual.registers import RegisterFile
from ai8x_tool.virtual.snoop import Verdict, snoop
from ai8x_tool.virtual.stream_checks import Producer, Stream, check_frame, check_stream, check_unused_stream
from ai8x_tool.virtual.write_side import (
    Written,
    highest_word,
    nothing_written,
    place_copies,
    place_depthwise,
    place_outputs,
    write_back,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Work:
    """What a layer computed with: `input` (passes, processors, rows, columns) of int8, after pooling and operators.

    `weights` is (outputs, passes, processors, taps) of int8, without outputs for depth-wise layers, and `sums`
    (outputs, rows, columns), or (passes, processors, rows, columns), the accumulators with bias (int64); both are None
    for passthrough layers.
    """

    input: Array
    weights: Array | None = None
    sums: Array | None = None


@dataclass(frozen=True, eq=False)
class LayerRun:
    """One executed layer: what its registers said and what it wrote.

    `work` is None unless a hook asks while the layer runs, or the device keeps a trace.
    """

    layer: HardwareLayer
    written: Written
    work: Work | None = None

    @property
    def tensor(self) -> npt.NDArray[Any]:
        """What the layer wrote: (outputs, pixels), pixels row by row; unused lanes are outputs, too."""
        values = self.written.values
        return values.reshape(-1, values.shape[-1]) if values.size else values.reshape(0, 0)


@dataclass(eq=False)
class Machine:
    """Registers and memories; `hooks` are called after every layer."""

    device: Device
    registers: RegisterFile
    data: DataMemory
    kernels: KernelMemory
    biases: BiasMemory
    fifos: Fifos
    diagnostics: Diagnostics
    hooks: list[Callable[[LayerRun], None]] = field(default_factory=list)

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
    """One run: the sequence of layers from a start to its completion. spec: execution, sections 3.2 and 9."""

    def __init__(self, machine: Machine, quadrants: tuple[int, ...], master: int, frame: FrameInput | None) -> None:
        self.machine, self.quadrants, self.master, self.frame = machine, quadrants, master, frame
        count = machine.registers.fields("LCNT", master)
        self.first, self.last = count["first"], count["last"]
        if not machine.device.next_layer:
            self.first = 0
        self.position: int | None = self.first
        self.streaming = bool(machine.registers.fields("CTL", master)["stream"])
        self._side: DataMemory | None = None
        self._executed = 0
        self._tram = 0
        self._passes = 0
        self._one_bit = False
        self._producer: Producer | None = Producer(None, frame.words) if frame else None

    @property
    def untouched(self) -> bool:
        """True until the first layer is executed."""
        return self._executed == 0

    @property
    def finished(self) -> bool:
        """True when no layer is left."""
        return self.position is None

    def step(self) -> None:
        """Execute the layer at the current position and move on."""
        if self.position is None:
            return
        index = self.position
        self._executed += 1
        if index >= self.machine.device.layers:
            text = f"there are only {self.machine.device.layers} layers"
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

    def _streams(self, index: int) -> bool:
        return self.streaming and (index == self.first or self.machine.registers.read("STR1", self.master, index) != 0)

    def _successor(self, index: int) -> int | None:
        """Return the layer that follows if no jump is conditional."""
        link = self.machine.registers.fields("NEXT", self.master, index)
        if link and link["stop"]:
            return None
        if link and link["link"]:
            return link["target"]
        return None if index == self.last else index + 1

    def _check_link(self, index: int) -> None:
        """The stop bit and the last layer of LCNT agree. spec: execution, section 3.2."""
        link = self.machine.registers.fields("NEXT", self.master, index)
        if not link:
            return
        found = []
        if link["target"] and not link["link"]:
            found.append(f"names layer {link['target']}, but does not continue there")
        if link["link"] and link["stop"]:
            found.append("both stops and continues elsewhere")
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
        layer = decode_layer(machine.registers, machine.device, index, self.quadrants, self.master, self.first)
        check_layer(machine.registers, machine.device, layer, self.master, machine.diagnostics)
        self._check_place(layer)
        source, pointer = self._source(layer)
        written, work = self._compute(layer, source, pointer)
        check_power(machine.registers, machine.device, layer, written, machine.diagnostics)
        successor = self._successor(index)
        streams = self._streams(index)
        self._producer = Producer.of(layer, written, machine.device, self.master) if streams else None
        if streams and successor is not None and self._streams(successor):
            self._side = target = DataMemory(max(1, highest_word(written)))
        else:
            target = machine.data
        if streams:
            self._forget_buffer(layer)
        written = write_back(layer, written, target, machine.diagnostics)
        for hook in machine.hooks:
            hook(LayerRun(layer, written, work))
        return written, target

    def _check_place(self, layer: HardwareLayer) -> None:
        """Check what depends on the layers before, and count this one."""
        machine, index = self.machine, layer.index
        first, streams = index == self.first, self._streams(index)
        place = Place(streams, first, self._tram)
        check_redundant(machine.registers, machine.device, layer, self.master, place, machine.diagnostics)
        stream = Stream.of(machine.registers, self.master, index, self._passes)
        if streams and self._producer is not None:
            check_stream(layer, stream, self._producer, machine.data.size, machine.diagnostics)
        elif streams and not first:
            text = "streams, but the layer before does not"
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
            text = f"stream_chw = {marked}, but layer {layer.index} says otherwise"
            machine.diagnostics.report("warning", text, quadrant=self.master, register="CTL")

    def _check_group(self, layer: HardwareLayer) -> None:
        """The fast FIFO feeds a group unless each quadrant has its first processor only. spec: registers, 8.6."""
        control = {q: self.machine.registers.fields("CTL", q) for q in self.quadrants}
        processors = layer.processors.tolist()
        expected = processors == [0] or any(p in processors for p in (1, 2, 3))
        for quadrant in (q for q in self.quadrants if control[q]["fast_fifo"] or control[q]["fifo_group"]):
            marked = bool(control[quadrant]["fifo_group"])
            if marked != expected or not control[quadrant]["fast_fifo"]:
                text = f"fifo_group = {int(marked)}, but {int(expected)} follows from the processors"
                self.machine.diagnostics.report("warning", text, quadrant=quadrant, register="CTL")

    def _source(self, layer: HardwareLayer) -> tuple[DataMemory, int]:
        """Return the memory that a layer reads, and its first word. spec: execution, sections 9.2 and 9.3."""
        machine = self.machine
        if layer.index == self.first and self.frame is not None:
            frame = self.frame.frame(machine.fifos)
            if self._streams(layer.index):
                return frame, 0
            words = np.arange(layer.read_pointer, min(layer.read_pointer + frame.size, machine.data.size))
            if len(words) < frame.size:
                text = f"the frame of {frame.size:#x} words from {layer.read_pointer:#x} leaves data memory"
                machine.diagnostics.report("error", text, layer=layer.index, register="RPTR")
            for quadrants in self.frame.feeds.values():
                for instance in (4 * quadrant for quadrant in quadrants):
                    values = frame.load_words(instance, words - layer.read_pointer)
                    machine.data.store_words(np.array(instance), words, values, HOST)
            return machine.data, layer.read_pointer
        if self._streams(layer.index) and self._side is not None:
            return self._side, layer.read_pointer
        return machine.data, layer.read_pointer

    def _forget_buffer(self, layer: HardwareLayer) -> None:
        """The rolling buffer of a streaming layer destroys what was there. spec: execution, section 9.3."""
        length = self.machine.registers.read("FMAX", self.master, layer.index)
        if length == 0:
            return
        instances = np.unique(layer.processors // PROCESSORS_PER_INSTANCE)
        self.machine.data.forget(instances, slice(layer.read_pointer, layer.read_pointer + length))

    def _compute(self, layer: HardwareLayer, source: DataMemory, pointer: int) -> tuple[Written, Work]:
        machine, diagnostics = self.machine, self.machine.diagnostics
        if not len(layer.processors) or not has_output(layer) or exceeds_model(layer, diagnostics):
            return nothing_written(), Work(np.zeros((0, 0, 0, 0), np.int8))
        if layer.kind is Kind.PASSTHROUGH:
            everything = np.ones((layer.passes, len(layer.processors)), bool)
            values = read_input(layer, source, pointer, everything, diagnostics)
            return place_copies(layer, machine.device, values), Work(values)
        if layer.kind is Kind.DEPTHWISE:
            weights = fetch_depthwise(layer, machine.kernels, diagnostics)
            used = np.asarray(weights.any(axis=2))
            x = read_input(layer, source, pointer, used, diagnostics)
            total = arithmetic.convolve_each(layer, x, weights)
            total += arithmetic.processor_bias(layer, machine.biases, used, diagnostics)[..., None, None]
            values = arithmetic.finish(layer, total, diagnostics)
            return place_depthwise(layer, machine.device, values, self.master), Work(x, weights, total)
        outputs = output_count(layer, diagnostics)
        if outputs < 1:
            return nothing_written(), Work(np.zeros((0, 0, 0, 0), np.int8))
        weights, used = fetch_kernels(layer, machine.kernels, outputs, diagnostics)
        matters = np.asarray(weights.any(axis=(0, 3)))
        x = read_input(layer, source, pointer, matters, diagnostics)
        total = arithmetic.convolve(layer, x, weights)
        late = int(not machine.device.streaming_bias and self._streams(layer.index) and layer.index == self.first)
        nonzero = np.asarray(weights.any(axis=(1, 2, 3)))
        bias = arithmetic.output_bias(layer, machine.biases, used, nonzero, late, diagnostics)
        total += bias[:, None, None]
        values = arithmetic.finish(layer, total, diagnostics)
        return place_outputs(layer, machine.device, values, self.master), Work(x, weights, total)
