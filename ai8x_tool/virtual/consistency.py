"""Checks for contradictory register settings."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE, QUADRANTS, Device
from ai8x_tool.device.register import Register
from ai8x_tool.virtual.address_map import INSTANCES_PER_QUADRANT
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer, Kind
from ai8x_tool.virtual.registers import RegisterFile
from ai8x_tool.virtual.start_checks import is_powered_down
from ai8x_tool.virtual.write_side import Written

_PER_QUADRANT = {"WPTR": None, "ENA": None, "POST": ("bias_offset", "bias_enable"), "LCTL": ("sources",)}
"""Layer registers whose fields may differ between quadrants; None: all fields."""
_LARGEST_INPUT = 1 << 26
"""Input values: the largest frame has 2²² pixels of 16 channels."""


def check_layer(
    registers: RegisterFile, device: Device, layer: HardwareLayer, master: int, diagnostics: Diagnostics
) -> None:
    """Report settings of `layer` that would not work on the device, or that contradict each other."""
    _check_quadrants(registers, layer, master, diagnostics)
    _check_pointers(layer, device, diagnostics)
    _check_enables(registers, layer, master, diagnostics)
    _check_window(layer, diagnostics)
    _check_pitch(layer, device, diagnostics)
    _check_doubtful(registers, layer, master, diagnostics)


def _check_quadrants(registers: RegisterFile, layer: HardwareLayer, master: int, diagnostics: Diagnostics) -> None:
    """Check that all quadrants in use have the same settings, except for pointers, enables, bias and sources."""
    if layer.resets:
        return
    for name, register in registers.table.items():
        if not register.layer_step:
            continue
        free = _PER_QUADRANT.get(name, ())
        if free is None:
            continue
        reference = registers.read(name, master, layer.index)
        for quadrant in layer.quadrants:
            word = registers.read(name, quadrant, layer.index)
            if word == reference:
                continue
            mine, theirs = register.decode(word), register.decode(reference)
            for field in _differing(register, word ^ reference):
                if field not in free:
                    text = f"{field} = {mine[field]:#x}, but {theirs[field]:#x} in quadrant {master}"
                    diagnostics.report("warning", text, layer=layer.index, quadrant=quadrant, register=name)
    pointers = layer.write.pointers
    if layer.kind is Kind.CONVOLUTION or layer.kind is Kind.TRANSPOSED or layer.write.broadcast:
        for quadrant in layer.quadrants:
            if pointers[quadrant] != pointers[master]:
                text = f"{pointers[quadrant]:#x}, but {pointers[master]:#x} in quadrant {master}"
                diagnostics.report("warning", text, layer=layer.index, quadrant=quadrant, register="WPTR")


def _differing(register: Register, bits: int) -> list[str]:
    """Return the fields to which `bits` belong; where fields overlap, the narrower one."""
    found = []
    for field in sorted(register.fields, key=lambda field: field.width):
        if bits & field.mask:
            found.append(field.name)
            bits &= ~field.mask
    return found


def _check_pointers(layer: HardwareLayer, device: Device, diagnostics: Diagnostics) -> None:
    words = device.instance_size // 4
    if layer.read_pointer >= words:
        text = f"{layer.read_pointer:#x} is outside an instance of {words:#x} words"
        diagnostics.report("error", text, layer=layer.index, register="RPTR")


def _check_enables(registers: RegisterFile, layer: HardwareLayer, master: int, diagnostics: Diagnostics) -> None:
    """Check that quadrants enable the kernels of their processors, and set biases and sources only where used."""
    index = layer.index
    if not len(layer.processors):
        diagnostics.report("warning", "no processor is enabled", layer=index, register="ENA")
    multiplies = layer.kind is not Kind.PASSTHROUGH and not layer.kernels.bypass
    for quadrant in layer.quadrants:
        enabled, post = registers.fields("ENA", quadrant, index), registers.fields("POST", quadrant, index)
        expected = enabled["processors"] if multiplies else 0
        if enabled["kernels"] != expected:
            text = f"kernels = {enabled['kernels']:#06x}, but {expected:#06x} follows from processors and layer kind"
            diagnostics.report("warning", text, layer=index, quadrant=quadrant, register="ENA")
        if post["bias_offset"] and not post["bias_enable"]:
            text = f"bias_offset = {post['bias_offset']:#x}, but no bias is enabled"
            diagnostics.report("warning", text, layer=index, quadrant=quadrant, register="POST")
        if post["bias_enable"] and layer.kind is Kind.PASSTHROUGH:
            text = "a layer without kernels has no bias"
            diagnostics.report("warning", text, layer=index, quadrant=quadrant, register="POST")
        sources = registers.fields("LCTL", quadrant, index)["sources"]
        if quadrant != master and sources:
            text = f"sources = {sources:#x}, but only quadrant {master} collects sums"
            diagnostics.report("warning", text, layer=index, quadrant=quadrant, register="LCTL")


def has_output(layer: HardwareLayer) -> bool:
    """Return whether sizes, padding and kernel result in at least one output pixel."""
    geometry = layer.geometry
    empty = min(*geometry.pooled, *geometry.kernel, geometry.columns) < 1
    factor = 2 if layer.transposed else 1
    if not empty and layer.kind is not Kind.PASSTHROUGH:
        sizes = zip(geometry.pooled, geometry.pad, geometry.kernel, strict=True)
        empty = min(factor * size + 2 * pad - kernel + 1 for size, pad, kernel in sizes) < 1
    return not empty


def exceeds_model(layer: HardwareLayer, diagnostics: Diagnostics) -> bool:
    """Return whether the layer's input is too large for this model, which only wrong registers cause; report it."""
    rows, columns = layer.geometry.reach if layer.operation.pool else layer.geometry.pooled
    values = rows * columns * layer.passes * layer.operation.operands * len(layer.processors)
    if values > _LARGEST_INPUT:
        text = f"{values:,} input values exceed the {_LARGEST_INPUT:,} that this model can execute"
        diagnostics.report("error", text, layer=layer.index, register="RCNT")
    return values > _LARGEST_INPUT


def _check_window(layer: HardwareLayer, diagnostics: Diagnostics) -> None:
    if not has_output(layer):
        rows, columns = layer.geometry.pooled
        kernel = "×".join(map(str, layer.geometry.kernel))
        text = f"there is no output: {rows}×{columns} pixels after pooling, kernel {kernel}"
        diagnostics.report("error", text, layer=layer.index, register="RCNT")


def _check_pitch(layer: HardwareLayer, device: Device, diagnostics: Diagnostics) -> None:
    """Check that the distance of pixels is their size, or more because of a read gap."""
    geometry, words = layer.geometry, layer.passes * layer.operation.operands
    pitch = geometry.pitch
    gap = device.read_gap and layer.passes == 1 and pitch > 0 and pitch % words == 0
    several = max(geometry.pooled) > 1 or layer.operation.pool
    if pitch != words and not gap and several:
        text = f"pixels are {pitch} words apart, but consist of {words} words"
        diagnostics.report("warning", text, layer=layer.index, register="STRIDE")


def _check_doubtful(registers: RegisterFile, layer: HardwareLayer, master: int, diagnostics: Diagnostics) -> None:
    """Warn about settings that no known program uses, or whose result is doubtful."""

    def doubt(register: str, text: str) -> None:
        diagnostics.report("warning", text, layer=layer.index, register=register)

    if layer.kernels.four_instances and layer.geometry.kernel != (3, 3):
        rows, columns = layer.geometry.kernel
        doubt("POST", f"four kernels at once are known to work for 3×3 kernels only, not for {rows}×{columns}")
    if layer.transposed and layer.operation.pool:
        doubt("STRIDE", "pooling before a transposed convolution: the device may use another pool stride")
    if layer.passes > 1 << 8 and registers.fields("POST", master, layer.index)["flatten"]:
        doubt(
            "POST", f"{layer.passes} passes overlap the field of the weight bits, which is read as {layer.kernels.bits}"
        )
    shared = registers.fields("LCTL", master, layer.index)["shared_output"]
    if not shared and layer.kind is not Kind.PASSTHROUGH and len(layer.quadrants) > 1:
        doubt("LCTL", "local outputs of several quadrants: the write pointer of quadrant 0 is used for all")


def check_power(
    registers: RegisterFile, device: Device, layer: HardwareLayer, written: Written, diagnostics: Diagnostics
) -> None:
    """Report memories that the layer uses although their quadrant is powered down."""
    off = [quadrant for quadrant in range(QUADRANTS) if is_powered_down(registers, device, quadrant)]
    if not off:
        return
    instances = np.concatenate([layer.processors // PROCESSORS_PER_INSTANCE, written.instance.ravel()])
    for quadrant in distinct(instances // INSTANCES_PER_QUADRANT).tolist():
        if quadrant in off:
            text = "the layer uses memory that is powered down"
            diagnostics.report("error", text, layer=layer.index, quadrant=quadrant, register="AON")
