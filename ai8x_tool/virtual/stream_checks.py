"""Checks of FIFO input and of concurrently running layers for deadlocks and overruns."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device.facts import Device
from ai8x_tool.virtual.diagnostics import Diagnostics, Severity
from ai8x_tool.virtual.layer import HardwareLayer
from ai8x_tool.virtual.registers import RegisterFile
from ai8x_tool.virtual.write_side import Written, highest_word


@dataclass(frozen=True)
class Producer:
    """Data delivered to a streaming layer: first word (None: by the FIFO), and number of words."""

    first_word: int | None
    words: int

    @classmethod
    def of(cls, layer: HardwareLayer, written: Written, device: Device, master: int) -> Producer:
        """Return the data that `layer` delivers to its successor."""
        word = layer.write.pointers[master] & (1 << device.write_instance_shift) - 1
        return cls(word, highest_word(written) - word)


@dataclass(frozen=True)
class StreamRegisters:
    """The stream registers of one layer, and the passes of the streaming layers before it."""

    start: int
    pass_offset: int
    deltas: bool
    buffer: int
    earlier_passes: int

    @classmethod
    def of(cls, registers: RegisterFile, master: int, index: int, earlier_passes: int) -> StreamRegisters:
        """Return the stream registers of layer `index`."""
        if registers.read("STR2", master, index) == 0 == registers.read("FMAX", master, index):
            start = registers.fields("STR1", master, index)["start"] if registers.read("STR1", master, index) else 0
            return cls(start, 0, False, 0, earlier_passes)
        deltas = registers.fields("STR2", master, index)
        return cls(
            registers.fields("STR1", master, index)["start"],
            deltas["pass_offset"],
            bool(deltas["delta1"] or deltas["delta2"]),
            registers.read("FMAX", master, index),
            earlier_passes,
        )


def check_stream(
    layer: HardwareLayer, stream: StreamRegisters, producer: Producer, size: int, report: Diagnostics
) -> None:
    """Check a streaming layer against the data delivered to it. `size` is the size of an instance in words."""
    index = layer.index
    if stream.start > producer.words:
        text = f"starts after {stream.start:#x} input words, but only {producer.words:#x} arrive"
        # In known programs with very small images, this also holds for later layers.
        severity: Severity = "error" if producer.first_word is None else "note"
        report.report(severity, text, layer=index, register="STR1")
    if layer.read_pointer + stream.buffer > size:
        text = f"the rolling buffer of {stream.buffer:#x} words from {layer.read_pointer:#x} on exceeds data memory"
        report.report("error", text, layer=index, register="FMAX")
    if stream.pass_offset != stream.earlier_passes & 15:
        text = f"pass_offset = {stream.pass_offset}, but the preceding layers have {stream.earlier_passes} passes"
        report.report("warning", text, layer=index, register="STR2")
    if producer.first_word is None:
        return
    if producer.first_word != layer.read_pointer:
        text = f"reads from word {layer.read_pointer:#x}, but the preceding layer writes to {producer.first_word:#x}"
        report.report("error", text, layer=index, register="RPTR")
    if stream.buffer < max(1, stream.start):
        text = f"the rolling buffer holds {stream.buffer:#x} words, fewer than the {stream.start:#x} before the start"
        report.report("warning", text, layer=index, register="FMAX")
    if stream.buffer % layer.passes:
        text = f"the rolling buffer of {stream.buffer:#x} words is not a multiple of {layer.passes} passes"
        report.report("warning", text, layer=index, register="FMAX")


def check_unused_stream(layer: HardwareLayer, stream: StreamRegisters, fifo: bool, diagnostics: Diagnostics) -> None:
    """Check that the stream registers of a layer that does not stream are 0; the first may use them for its FIFO."""
    used = {
        "STR1": bool(stream.start) and not fifo,
        "STR2": bool(stream.pass_offset or stream.deltas) and not fifo,
        "FMAX": bool(stream.buffer) and not fifo,
    }
    for register in (name for name, wrong in used.items() if wrong):
        text = "is not 0, although the layer does not stream"
        diagnostics.report("warning", text, layer=layer.index, register=register)


def check_frame(layer: HardwareLayer, words: int, rows: int | None, diagnostics: Diagnostics) -> None:
    """Compare the words of an input frame with the layer's rows and columns. `rows` is None if it is not known."""
    geometry = layer.geometry
    if layer.transposed or layer.passes * layer.operation.operands > 1:
        return
    least = geometry.reach[0] if layer.operation.pool else (geometry.pooled[0] - 1) * geometry.stride + 1
    slack = geometry.stride - 1 + (geometry.window[0] - 1) * (geometry.dilation[0] - 1)
    low, high = (rows, rows) if rows is not None else (least, least + slack)
    unit = 4 if layer.chw else 1
    expected = [-(-count * geometry.columns // unit) for count in range(low, high + 1)]
    if words not in expected:
        text = f"a frame has {words} words, but {low} × {geometry.columns} pixels need {expected[0]}"
        diagnostics.report("warning", text, layer=layer.index, register="IFRM")
