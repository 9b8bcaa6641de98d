"""A hardware layer, decoded from its registers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, Device
from ai8x_tool.virtual.geometry import Geometry, decode_geometry
from ai8x_tool.virtual.registers import RegisterFile

Array = npt.NDArray[Any]


class Kind(Enum):
    """The operation of a layer."""

    CONVOLUTION = "convolution"
    TRANSPOSED = "transposed convolution"
    DEPTHWISE = "depthwise convolution"
    PASSTHROUGH = "passthrough"


@dataclass(frozen=True)
class KernelRange:
    """The kernels of a layer.

    `start` and `end` are the addresses of the first and last kernel in units of 1/8 kernel, `offset` is a byte offset
    into the stream, `output_count` is the OCHAN register (None on the MAX78000).
    """

    size: tuple[int, int]
    bits: int
    binary: bool
    start: int
    end: int
    offset: int
    output_count: int | None
    bypass: bool
    four_instances: bool
    quad: bool


@dataclass(frozen=True)
class WritePlaces:
    """Destination of a layer's output. `pointers` is the write pointer of each quadrant in use."""

    pointers: dict[int, int]
    span: int
    increment: int
    instance_step: int
    slot_step: int
    pass_step: int
    wide: bool
    broadcast: bool


@dataclass(frozen=True)
class Operation:
    """Operation of a layer: combination of operands, pooling, shift and activation."""

    operands: int
    function: str
    pool_first: bool
    pool: bool
    maximum: bool
    rounding: bool
    shift: int
    relu: bool
    absolute: bool


@dataclass(frozen=True)
class HardwareLayer:
    """All properties of layer `index` in its registers. `processors` are the active ones, ascending (int array)."""

    index: int
    kind: Kind
    transposed: bool
    quadrants: tuple[int, ...]
    processors: Array
    kernel_enabled: Array
    chw: bool
    read_pointer: int
    one_dimensional: bool
    geometry: Geometry
    operation: Operation
    kernels: KernelRange
    write: WritePlaces
    bias: dict[int, int]
    sources: int
    read_ahead: bool

    @property
    def resets(self) -> bool:
        """Whether this is the one-pixel copy that clears the accumulators before an average pooling (MAX78002).

        Its registers are written in the master quadrant only, and the word that it copies is not used.
        """
        single = self.kind is Kind.PASSTHROUGH and len(self.processors) == 1 and self.kernels.output_count == 0
        return single and self.geometry.pooled == (1, 1) and not self.operation.pool and not self.write.increment - 1

    @property
    def passes(self) -> int:
        """Number of input passes."""
        return self.geometry.passes


_FUNCTIONS = ("sub", "add", "or", "xor")
_WEIGHT_BITS = (8, 1, 2, 4)


def decode_layer(
    registers: RegisterFile, device: Device, index: int, quadrants: tuple[int, ...], master: int, start: int
) -> HardwareLayer:
    """Return hardware layer `index`; fields that are not specific to a quadrant are those of the master quadrant."""
    read = {
        name: registers.fields(name, master, index)
        for name in ("ONED", "LCTL", "LCTL2", "POST", "MCNT", "MCNT1", "MCNT2", "OCHAN", "ENA", "WTOFF", "WMOFF")
    }
    control = registers.fields("CTL", master)
    one, layer, post = read["ONED"], read["LCTL"], read["POST"]
    processors, enabled = _processors(registers, index, quadrants)
    kind = _kind(post, device)
    operands = one["operands"] + 1 if one["eltwise"] else 1
    geometry = decode_geometry(registers, master, index, operands, transposed=bool(post["transposed"]))
    shift = -post["shift"] if post["shift_right"] else post["shift"]
    quad = bool(control["quad"]) and index == start
    kernels = _kernels(read, control, geometry, quad)
    write_shift = device.write_instance_shift
    return HardwareLayer(
        index=index,
        kind=kind,
        transposed=bool(post["transposed"]),
        quadrants=quadrants,
        processors=processors,
        kernel_enabled=enabled,
        chw=bool(layer["chw"]),
        read_pointer=registers.read("RPTR", master, index),
        one_dimensional=bool(one["conv1d"]),
        geometry=geometry,
        operation=Operation(
            operands=operands,
            function=_FUNCTIONS[one["eltwise_function"]],
            pool_first=bool(one["pool_first"]),
            pool=bool(layer["pool"]),
            maximum=bool(layer["max_pool"]),
            rounding=bool(control["average_round"]) and not one["conv1d"],
            shift=shift,
            relu=bool(layer["relu"]),
            absolute=bool(post["absolute"]),
        ),
        kernels=kernels,
        write=WritePlaces(
            pointers={q: registers.read("WPTR", q, index) for q in quadrants},
            span=read["LCTL2"]["output_span"] // kernels.bits + 1,
            increment=read["LCTL2"]["write_increment"] + 1,
            instance_step=registers.read("WMOFF", master, index) >> write_shift,
            slot_step=registers.read("WTOFF", master, index) >> write_shift,
            pass_step=registers.read("WCOFF", master, index),
            wide=bool(layer["wide"]),
            broadcast=bool(layer.get("broadcast")),
        ),
        bias=_bias(registers, index, quadrants),
        sources=layer["sources"],
        read_ahead=bool(layer.get("readahead")),
    )


def _kind(post: dict[str, int], device: Device) -> Kind:
    if post["depthwise"] and device.depthwise:
        return Kind.DEPTHWISE
    if post["time_slots"]:
        return Kind.PASSTHROUGH
    return Kind.TRANSPOSED if post["transposed"] else Kind.CONVOLUTION


def _processors(registers: RegisterFile, index: int, quadrants: tuple[int, ...]) -> tuple[Array, Array]:
    active, enabled = [], []
    for quadrant in quadrants:
        fields = registers.fields("ENA", quadrant, index)
        for bit in range(PROCESSORS_PER_QUADRANT):
            if fields["processors"] >> bit & 1:
                active.append(PROCESSORS_PER_QUADRANT * quadrant + bit)
                enabled.append(bool(fields["kernels"] >> bit & 1))
    return np.array(active, np.int64), np.array(enabled, bool)


def _kernels(read: dict[str, dict[str, int]], control: dict[str, int], geometry: Geometry, quad: bool) -> KernelRange:
    old = read["MCNT"]
    post = read["POST"]
    start = old["start"] if old else read["MCNT2"]["start"]
    end = old["end"] if old else read["MCNT1"]["end"]
    bits = _weight_bits(post["weight_bits"], geometry.passes, start, end, read["LCTL2"]["output_span"])
    return KernelRange(
        size=geometry.kernel,
        bits=bits,
        binary=bits == 1 and bool(control["binary"]) and not old,
        start=start,
        end=end,
        offset=read["ONED"]["kernel_offset"],
        output_count=read["OCHAN"].get("count"),
        bypass=bool(read["LCTL"].get("bypass")),
        four_instances=bool(post["calcx4"]) and not old,
        quad=quad,
    )


def _weight_bits(field: int, passes: int, start: int, end: int, span: int) -> int:
    """Return the weight width.

    The pass count of flattened layers with more than 256 words overlaps its field, which then holds both the code and
    the count's high bits. The result is the largest width whose code fits and that divides the ranges of kernels and
    lanes.
    """
    high = (passes - 1) >> 8
    if not high:
        return _WEIGHT_BITS[field]
    for bits in (8, 4, 2, 1):
        fits = _WEIGHT_BITS.index(bits) | high == field
        if fits and (end - start) % bits == 0 and span % bits == 0 and ((end - start) // bits + 1) % passes == 0:
            return bits
    return _WEIGHT_BITS[field]


def _bias(registers: RegisterFile, index: int, quadrants: tuple[int, ...]) -> dict[int, int]:
    """Return the bias offset of each quadrant that adds one."""
    found = {}
    for quadrant in quadrants:
        post = registers.fields("POST", quadrant, index)
        if post["bias_enable"]:
            found[quadrant] = post["bias_offset"]
    return found
