"""Register settings that contradict each other. spec: execution, section 12."""

from __future__ import annotations

from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, Device
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.layer import HardwareLayer, Kind
from ai8x_tool.virtual.registers import RegisterFile

_PER_QUADRANT = {"WPTR": None, "ENA": None, "POST": ("bias_offset", "bias_enable"), "LCTL": ("sources",)}
"""Layer registers whose fields may differ between quadrants; None: all of them."""
_STREAM = ("STR1", "STR2", "FMAX")
_LARGEST_INPUT = 1 << 26
_COMMON_STEPS = ("NEXT",)


def check_layer(
    registers: RegisterFile, device: Device, layer: HardwareLayer, master: int, diagnostics: Diagnostics
) -> bool:
    """Report what would not work, or not as it looks, on the part. Return whether the layer can be executed at all."""
    _check_quadrants(registers, layer, master, diagnostics)
    _check_pointers(layer, device, diagnostics)
    _check_enables(registers, layer, diagnostics)
    _check_sources(layer, master, diagnostics)
    return _check_window(layer, diagnostics) and _check_volume(layer, device, diagnostics)


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


def _check_window(layer: HardwareLayer, diagnostics: Diagnostics) -> bool:
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
    return not empty


def _check_volume(layer: HardwareLayer, device: Device, diagnostics: Diagnostics) -> bool:
    """Refuse what would exhaust this computer's memory: only wrong registers ask for it, FIFO frames are smaller."""
    rows, columns = layer.geometry.reach if layer.operation.pool else layer.geometry.pooled
    words = rows * columns * layer.passes * layer.operation.operands
    values = words * len(layer.processors)
    if words < device.frame_size_limit and values <= _LARGEST_INPUT:
        return True
    text = f"{values:,} input values ({words:,} words for each processor) are more than this model executes"
    diagnostics.report("error", text, layer=layer.index, register="RCNT")
    return False
