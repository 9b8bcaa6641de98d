"""Check of register fields whose values follow from others, or that have no effect in a layer.

The model does not need these fields, but the device does. A value that differs from the expected one indicates a
mistake in the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, QUADRANTS, Device
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer, Kind
from ai8x_tool.virtual.registers import RegisterFile

Fields = dict[str, dict[str, int]]
Rule = tuple[str, str, int, str]
"""Register, field, the value that follows from other fields, and the reason."""

_NAMES = (
    *("ONED", "RCNT", "CCNT", "PRCNT", "PCCNT", "STRIDE", "LCTL", "LCTL2", "MCNT", "MCNT1", "MCNT2", "OCHAN"),
    *("TPTR", "ENA", "POST", "WTOFF", "WMOFF", "WCOFF"),
)


@dataclass(frozen=True)
class Place:
    """Place of a layer in the sequence: whether it streams, whether it is the first, and the TRAM of earlier layers."""

    streams: bool = False
    first: bool = True
    tram: int = 0


@dataclass(frozen=True)
class View:
    """One layer, decoded and as register fields."""

    layer: HardwareLayer
    device: Device
    master: int
    fields: Fields
    place: Place

    @property
    def kernels_used(self) -> bool:
        """Whether the layer multiplies."""
        return self.layer.kind is not Kind.PASSTHROUGH

    @property
    def plain(self) -> bool:
        """Whether the layer is a convolution that sums over its processors."""
        return self.layer.kind in (Kind.CONVOLUTION, Kind.TRANSPOSED)

    @property
    def width(self) -> int:
        """Words for four channels of an output pixel: 1, or 4 for 32-bit outputs."""
        return 4 if self.layer.write.wide else 1

    def counts(self) -> list[int]:
        """Return the number of active processors of each quadrant."""
        return np.bincount(self.layer.processors // PROCESSORS_PER_QUADRANT, minlength=QUADRANTS).tolist()


def check_redundant(
    registers: RegisterFile, device: Device, layer: HardwareLayer, master: int, place: Place, diagnostics: Diagnostics
) -> None:
    """Compare each redundant field of the master quadrant's registers with the value that follows from the others."""
    fields = {name: registers.fields(name, master, layer.index) for name in _NAMES}
    view = View(layer, device, master, fields, place)
    for rules in _RULES:
        for register, field, expected, reason in rules(view):
            actual = fields[register].get(field)
            if actual is not None and actual != expected:
                text = f"{field} = {actual:#x}, but {expected:#x} follows from {reason}"
                diagnostics.report("warning", text, layer=layer.index, quadrant=master, register=register)


def time_slots(view: View) -> int:
    """Return time slots minus 1."""
    slots = 0
    for count in view.counts():
        if view.layer.kind is Kind.PASSTHROUGH and count:
            slots = max(slots, (count * view.width - 1) // 4)
        elif view.layer.kind is Kind.DEPTHWISE and count:
            slots = max(slots, (min(count, 4) if view.layer.write.broadcast else count) * view.width - 1)
    return slots


def tram_entries(layer: HardwareLayer) -> int:
    """Return the number of TRAM entries that a layer needs for each pass."""
    if layer.kind is Kind.PASSTHROUGH:
        return 1
    columns = layer.geometry.pooled[1] * (2 if layer.transposed else 1)
    return max(0, columns + 2 * layer.geometry.pad[1] - layer.geometry.kernel[1]) + 1


def _one_dimensional(view: View) -> Iterator[Rule]:
    layer, one = view.layer, view.fields["ONED"]
    eltwise = layer.operation.operands > 1
    yield "ONED", "time_slots", time_slots(view), "the processors"
    yield "ONED", "eltwise", int(eltwise), "the number of operands"
    yield "ONED", "eltwise_convolution", int(eltwise and view.kernels_used), "the kind of layer"
    if not eltwise:
        for field in ("eltwise_function", "operands"):
            yield "ONED", field, 0, "the single operand"
    if not (eltwise and layer.operation.pool):
        yield "ONED", "pool_first", 0, "the lack of pooling or operands"
    if not view.kernels_used:
        yield "ONED", "kernel_offset", 0, "the lack of kernels"
        yield "ONED", "conv1d", 0, "the lack of kernels"
    if not one["conv1d"]:
        single = layer.geometry.kernel == (1, 1) if view.kernels_used else not eltwise
        yield "ONED", "kernel_length", int(single), "the kernel size"


def _scan(view: View) -> Iterator[Rule]:
    layer, fields = view.layer, view.fields
    rows, columns = fields["RCNT"], fields["CCNT"]
    stride = fields["STRIDE"]["stride"] + 1
    if layer.transposed and layer.operation.pool:
        stride = layer.geometry.stride  # recovered: the register says 1
    if "stop" in rows:
        words = fields["STRIDE"]["row_words"]
        pitch = words // stride
        yield "STRIDE", "row_words", pitch * stride, "the stride"
        yield "RCNT", "stop", rows["stop"] // stride * stride, "the stride"
        yield "CCNT", "stop", columns["stop"] // stride * stride, "the stride"
        span = columns["next"] + (stride - 1) * (columns["next"] + columns["stop"])
        yield "RCNT", "next", span * pitch & 0xFFFF, "the columns, stride and words of a pixel"
        yield from _window_distance(view, stride)
        for name in ("RCNT", "CCNT"):
            if not fields[name]["pad_enable"]:
                yield name, "pad_minus_1", 0, "the lack of padding"
    for name, size, dilation in zip(("PRCNT", "PCCNT"), layer.geometry.window, layer.geometry.dilation, strict=True):
        if layer.operation.pool:
            yield name, "window", (size - 1) * dilation, "the pooling dilation"
        else:
            yield name, "window", 0, "the lack of pooling"
            yield name, "dilation", 0, "the lack of pooling"


def _window_distance(view: View, stride: int) -> Iterator[Rule]:
    """Yield the rule for the last window's distance to the end of the row: its reach plus less than a stride."""
    geometry, distance = view.layer.geometry, view.fields["CCNT"]["next"]
    least = geometry.window[1] + geometry.dilation[1] - 1
    yield "CCNT", "next", min(max(distance, least), least + stride - 1), "the pooling window and stride"


def _write(view: View) -> Iterator[Rule]:
    layer, write = view.layer, view.layer.write
    instance = 1 << view.device.write_instance_shift
    one = layer.one_dimensional
    if view.kernels_used:
        yield "WMOFF", "offset", instance, "the size of an instance"
        slots = int(layer.geometry.kernel == (1, 1) and not one)
        if layer.kind is Kind.DEPTHWISE:
            slots = 0 if one or write.broadcast else instance
        yield "WTOFF", "offset", slots, "the kind of layer"
    else:
        yield "WMOFF", "offset", 0, "the lack of kernels"
        if len(layer.processors) > 4:
            yield "WTOFF", "offset", instance, "the processors"
    yield "WCOFF", "offset", _pass_offset(view), "the output passes and the write increment"


def _pass_offset(view: View) -> int:
    """Return the words between output passes."""
    layer, write = view.layer, view.layer.write
    if layer.kind is Kind.PASSTHROUGH:
        emulated = view.device.eltwise_emulation and layer.operation.operands > 1 and write.pass_step > 0
        return write.increment if layer.passes > 1 or emulated else 0
    passes = layer.passes if layer.kind is Kind.DEPTHWISE else -(-_outputs(view) // write.span)
    return view.width * write.increment // passes if passes > 1 else 0


def _outputs(view: View) -> int:
    """Return the number of outputs, including unused lanes."""
    kernels = view.layer.kernels
    count = (kernels.end - kernels.start) // kernels.bits + 1
    if kernels.output_count is not None:
        count = kernels.output_count + 1
        if kernels.bypass:
            return count
        if kernels.four_instances or kernels.quad:
            count *= 4
    return max(1, count // view.layer.passes)


def _layer_control(view: View) -> Iterator[Rule]:
    layer, control = view.layer, view.fields["LCTL"]
    yield "LCTL", "enable", 1, "the layer being executed"
    if not layer.operation.pool:
        yield "LCTL", "max_pool", 1, "the lack of pooling"
    rows, columns = layer.geometry.kernel if view.kernels_used else (1, 1)
    yield "LCTL", "kernel_rows", rows - 1, "the kernel size"
    yield "LCTL", "kernel_columns", columns - 1, "the kernel size"
    if layer.kind is not Kind.DEPTHWISE:
        yield "LCTL", "broadcast", 0, "the kind of layer"
    if not view.kernels_used:
        yield "LCTL", "bypass", 0, "the lack of kernels"
    if layer.chw and layer.passes * layer.operation.operands > 1:
        yield "LCTL", "chw", 0, "the number of passes and operands"
    else:
        yield "LCTL", "pool", int(layer.geometry.window != (1, 1)), "the pooling window"
    yield "LCTL", "sources", _sources(view), "the quadrants with processors or bias"
    if "readahead" in control:
        ahead = layer.passes - 1
        if view.fields["POST"]["tcalc"]:
            ahead //= 4
        # Two of the upper bits are shared with broadcast and bypass.
        high = control["readahead_passes"] & 0b011000
        yield "LCTL", "readahead_passes", high | (ahead & 7 if control["readahead"] else 0), "the input passes"


def _sources(view: View) -> int:
    """Return the mask of the quadrants whose sums or bias the master collects."""
    layer = view.layer
    if not view.plain or layer.kernels.quad:
        return 0
    quadrants = {q for q, count in enumerate(view.counts()) if count} | set(layer.bias)
    return sum(1 << q for q in quadrants - {view.master})


def _passes(view: View) -> Iterator[Rule]:
    """Yield the rules for the pass count of flattened layers, which is spread over three registers."""
    layer, post = view.layer, view.fields["POST"]
    if post["flatten"]:
        yield "LCTL2", "input_passes", layer.passes - 1 & 15, "the passes in TPTR"
        yield "TPTR", "maximum", 2 * layer.passes - 1 & 0xFFFF, "the passes in TPTR"
    high = post["flatten_high"]
    spread = high & ~15 | (layer.passes - 1 >> 4 & 15 if post["flatten"] else 0)
    yield "POST", "flatten_high", spread, "the passes in TPTR"


def _kernel_range(view: View) -> Iterator[Rule]:
    layer, fields = view.layer, view.fields
    kernels = layer.kernels
    if not view.kernels_used:
        steps = 8 * (layer.passes - 1)
        yield "MCNT", "end", steps, "the passes"
        yield "MCNT", "start", 0, "the lack of kernels"
        yield "MCNT1", "end", 0, "the lack of kernels"
        yield "MCNT2", "start", steps, "the passes"
        yield "OCHAN", "count", time_slots(view), "the time slots"
        yield "LCTL2", "output_span", 0, "the lack of kernels"
        return
    span = fields["LCTL2"]["output_span"]
    yield "LCTL2", "output_span", span // kernels.bits * kernels.bits, "the weight bits"
    whole = (kernels.end - kernels.start) // kernels.bits * kernels.bits
    if not (kernels.four_instances or kernels.quad):
        yield "MCNT" if "end" in fields["MCNT"] else "MCNT1", "end", kernels.start + whole, "the weight bits"
    if view.plain:
        span = _lanes(view) * kernels.bits
        yield "LCTL2", "output_span", span - kernels.bits, "the number of outputs"
    if layer.kind is Kind.DEPTHWISE:
        if layer.write.broadcast:
            lanes = int(layer.processors[-1]) - int(layer.processors[0]) // 4 * 4
            yield "LCTL2", "output_span", lanes * kernels.bits, "the processors"
        yield "MCNT1", "end", kernels.start + (layer.passes - 1) * kernels.bits, "the passes"
        yield "OCHAN", "count", (time_slots(view) + 1) * layer.passes - 1, "the time slots and passes"

    if kernels.four_instances and not kernels.quad:
        yield "MCNT1", "end", _parallel_end(view), "the output count"


def _lanes(view: View) -> int:
    """Return the output lanes of a pass: the value of the register, but at most the number of outputs."""
    layer = view.layer
    outputs, span = _outputs(view), layer.write.span
    spare = 3 if layer.kernels.four_instances or layer.kernels.quad else 0
    return span if span <= outputs and (outputs <= span + spare or layer.write.pass_step) else outputs


def _parallel_end(view: View) -> int:
    """Return the kernel end expected with four kernels at once: that of all kernels, or that of a quarter of them.

    The output count is a quarter of the number of kernels; the value of the register is accepted if it is one of both.
    """
    kernels = view.layer.kernels
    quarter = kernels.output_count or 0
    counts = range(4 * quarter + 1, 4 * quarter + 5)
    ends = [kernels.start + (count - 1) * kernels.bits for count in counts]
    ends += [kernels.start + (count * kernels.bits + 3) // 4 - kernels.bits for count in counts]
    return kernels.end if kernels.end in ends else ends[3]


def _tram(view: View) -> Iterator[Rule]:
    """Yield the rules for the TRAM range: the columns kept for the kernel, after the entries of earlier layers."""
    layer = view.layer
    if view.fields["POST"]["flatten"] or (layer.transposed and layer.operation.pool):
        return
    later = view.place.streams and not view.place.first
    single = view.kernels_used and layer.geometry.kernel == (1, 1)
    last, start = tram_entries(layer) - 1, 0
    if layer.one_dimensional or (single and not later):
        last = 0
    elif later:
        last, start = last + view.place.tram, view.place.tram
    yield "TPTR", "maximum", last & 0xFFFF, "the columns"
    yield "TPTR", "start", start & 0xFFFF, "the TRAM of earlier streaming layers"


def _post(view: View) -> Iterator[Rule]:
    layer, post = view.layer, view.fields["POST"]
    single = not view.kernels_used and layer.operation.operands == 1
    yield "POST", "passthrough", int(single), "the kind of layer"
    if not post["bias_enable"]:
        yield "POST", "bias_offset", 0, "the lack of a bias"
    if layer.kind is Kind.DEPTHWISE:
        yield "POST", "time_slots", 1, "the kind of layer"
    if not view.plain or not view.device.large_kernel_memories:
        yield "POST", "calcx4", 0, "the kind of layer"
    if not view.device.depthwise:
        yield "POST", "depthwise", 0, "the device"
    if not view.kernels_used:
        for field in ("bias_enable", "transposed", "depthwise"):
            yield "POST", field, 0, "the kind of layer"
    if layer.write.wide or not view.kernels_used:
        reason = "the 32-bit output" if view.kernels_used else "the lack of kernels"
        yield "LCTL", "relu", 0, reason
        yield "POST", "absolute", 0, reason
    if not view.kernels_used:
        yield "LCTL", "wide", 0, "the lack of kernels"
        for field in ("shift", "weight_bits"):
            yield "POST", field, 0, "the lack of kernels"
    if layer.operation.relu:
        yield "POST", "absolute", 0, "the other activation, ReLU"
    if not view.fields["LCTL"].get("readahead"):
        yield "POST", "tcalc", 0, "the lack of read-ahead"
    if not post["shift"]:
        yield "POST", "shift_right", 0, "the lack of a shift"


_RULES: tuple[Callable[[View], Iterator[Rule]], ...] = (
    _one_dimensional,
    _scan,
    _write,
    _layer_control,
    _passes,
    _kernel_range,
    _tram,
    _post,
)
