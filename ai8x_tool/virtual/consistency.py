"""Register settings that contradict each other. spec: execution, section 12."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE, PROCESSORS_PER_QUADRANT, QUADRANTS, Device
from ai8x_tool.virtual.address_map import INSTANCES_PER_QUADRANT
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer, Kind
from ai8x_tool.virtual.registers import RegisterFile
from ai8x_tool.virtual.start_checks import powered_down
from ai8x_tool.virtual.write_side import Written

_PER_QUADRANT = {"WPTR": None, "ENA": None, "POST": ("bias_offset", "bias_enable"), "LCTL": ("sources",)}
"""Layer registers whose fields may differ between quadrants; None: all of them."""
_STREAM = ("STR1", "STR2", "FMAX")
_COMMON_STEPS = ("NEXT",)


def check_layer(
    registers: RegisterFile, device: Device, layer: HardwareLayer, master: int, diagnostics: Diagnostics
) -> None:
    """Report what would not work, or not as it looks, on the part."""
    _check_quadrants(registers, layer, master, diagnostics)
    _check_pointers(layer, device, diagnostics)
    _check_enables(registers, layer, diagnostics)
    _check_sources(layer, master, diagnostics)
    _check_window(layer, diagnostics)
    _check_pitch(layer, device, diagnostics)
    _check_doubtful(registers, layer, master, diagnostics)


def _check_quadrants(registers: RegisterFile, layer: HardwareLayer, master: int, diagnostics: Diagnostics) -> None:
    """All quadrants in use have the same settings, but for pointers, enables, bias and sources."""
    for name, register in registers.table.items():
        if not register.layer_step or name in _STREAM or name in _COMMON_STEPS:
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
            for field in (f.name for f in register.fields if f.name not in free and mine[f.name] != theirs[f.name]):
                text = f"{field} = {mine[field]:#x}, but {theirs[field]:#x} in quadrant {master}"
                diagnostics.report("warning", text, layer=layer.index, quadrant=quadrant, register=name)
    if layer.kind is Kind.CONVOLUTION or layer.kind is Kind.TRANSPOSED or layer.write.broadcast:
        pointers = layer.write.pointers
        for quadrant in layer.quadrants:
            if pointers[quadrant] != pointers[master]:
                text = f"{pointers[quadrant]:#x}, but {pointers[master]:#x} in quadrant {master}"
                diagnostics.report("warning", text, layer=layer.index, quadrant=quadrant, register="WPTR")


def _check_pointers(layer: HardwareLayer, device: Device, diagnostics: Diagnostics) -> None:
    words = device.instance_size // 4
    if layer.read_pointer >= words:
        text = f"{layer.read_pointer:#x} is outside an instance of {words:#x} words"
        diagnostics.report("error", text, layer=layer.index, register="RPTR")


def _check_enables(registers: RegisterFile, layer: HardwareLayer, diagnostics: Diagnostics) -> None:
    if not len(layer.processors) and layer.kind is not Kind.CONVOLUTION:
        diagnostics.report("warning", "no processor is enabled", layer=layer.index, register="ENA")
    for quadrant in layer.quadrants:
        fields = registers.fields("ENA", quadrant, layer.index)
        if fields["kernels"] not in (0, fields["processors"]):
            text = f"kernels {fields['kernels']:#06x} do not belong to processors {fields['processors']:#06x}"
            diagnostics.report("warning", text, layer=layer.index, quadrant=quadrant, register="ENA")


def _check_sources(layer: HardwareLayer, master: int, diagnostics: Diagnostics) -> None:
    """The master collects sums and bias of all other quadrants that contribute."""
    if layer.kind not in (Kind.CONVOLUTION, Kind.TRANSPOSED) or layer.kernels.quad:
        return
    contributing = {int(p) // PROCESSORS_PER_QUADRANT for p in layer.processors} | set(layer.bias)
    for quadrant in sorted(contributing - {master}):
        if not layer.sources >> quadrant & 1:
            text = f"sources = {layer.sources:#x} leave out the sums or bias of quadrant {quadrant}"
            diagnostics.report("warning", text, layer=layer.index, quadrant=master, register="LCTL")


def _check_window(layer: HardwareLayer, diagnostics: Diagnostics) -> None:
    geometry = layer.geometry
    empty = min(geometry.pooled) < 1 or geometry.columns < 1
    factor = 2 if layer.transposed else 1
    if not empty and layer.kind is not Kind.PASSTHROUGH:
        sizes = zip(geometry.pooled, geometry.pad, geometry.kernel, strict=True)
        empty = min(factor * size + 2 * pad - kernel + 1 for size, pad, kernel in sizes) < 1
    if empty:
        rows, columns = geometry.pooled
        kernel = "×".join(map(str, geometry.kernel))
        text = f"there is no output: {rows}×{columns} pixels after pooling, kernel {kernel}"
        diagnostics.report("error", text, layer=layer.index, register="RCNT")


def _check_pitch(layer: HardwareLayer, device: Device, diagnostics: Diagnostics) -> None:
    """Pixels are as far apart as they are large, or further by a read gap."""
    geometry, words = layer.geometry, layer.passes * layer.operation.operands
    pitch = geometry.pitch
    gap = device.read_gap and layer.passes == 1 and pitch > 0 and pitch % words == 0
    several = max(geometry.pooled) > 1 or layer.operation.pool
    if pitch != words and not gap and several:
        text = f"pixels are {pitch} words apart, but have {words}"
        diagnostics.report("warning", text, layer=layer.index, register="STRIDE")


def _check_doubtful(registers: RegisterFile, layer: HardwareLayer, master: int, diagnostics: Diagnostics) -> None:
    """What no known program does, or not with this result. spec: execution, section 13."""

    def doubt(register: str, text: str) -> None:
        diagnostics.report("warning", text, layer=layer.index, register=register)

    if layer.kernels.four_instances and layer.geometry.kernel != (3, 3):
        rows, columns = layer.geometry.kernel
        doubt("POST", f"four kernels at once are known to work for 3×3 kernels only, not for {rows}×{columns}")
    if layer.transposed and layer.operation.pool:
        doubt("STRIDE", "pooling before a transposed convolution: the part may use another pool stride")
    if layer.passes > 1 << 8 and registers.fields("POST", master, layer.index)["flatten"]:
        doubt("POST", f"{layer.passes} passes run into the field of the weight bits, read as {layer.kernels.bits}")
    shared = registers.fields("LCTL", master, layer.index)["shared_output"]
    if not shared and layer.kind is not Kind.PASSTHROUGH and len(layer.quadrants) > 1:
        doubt("LCTL", "local outputs of several quadrants: quadrant 0's write pointer is taken for all")


def check_power(
    registers: RegisterFile, device: Device, layer: HardwareLayer, written: Written, diagnostics: Diagnostics
) -> None:
    """Report memories of quadrants outside the run that are used although they are powered down."""
    instances = np.unique(np.concatenate([layer.processors // PROCESSORS_PER_INSTANCE, written.instance.ravel()]))
    for quadrant in np.unique(instances // INSTANCES_PER_QUADRANT).tolist():
        if quadrant < QUADRANTS and powered_down(registers, device, quadrant):
            text = "the layer uses memory that is powered down"
            diagnostics.report("error", text, layer=layer.index, quadrant=quadrant, register="AON")
