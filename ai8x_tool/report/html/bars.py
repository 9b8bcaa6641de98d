"""Drawings of cycles, energy and data by layer."""

from __future__ import annotations

from ai8x_tool.analysis import DeviceAnalysis
from ai8x_tool.mapping.cycles import CycleParts
from ai8x_tool.report.analysis_text import LIMITS, microjoules
from ai8x_tool.report.html.shapes import Box, Drawing, Label, Path, text_width

PARTS = tuple(CycleParts.__slots__)
_ROW, _TOP, _CYCLES, _ENERGY, _NUMBER, _DEMAND = 20, 22, 320, 150, 78, 420


def cost_drawing(name: str, device: DeviceAnalysis) -> Drawing:
    """Return bars of all layers: cycles by what they are spent on, and energy."""
    layers = device.layers
    names = [f"{layer.index} {layer.name}".rstrip() for layer in layers]
    left = max(60.0, *(text_width(text) + 12 for text in names))
    right = left + _CYCLES + _NUMBER
    most = max(1, *(layer.cycles for layer in layers)) if layers else 1
    energy = max((layer.joules for layer in layers), default=0) or 1
    boxes, labels = (
        [],
        [Label(left, 12, "cycles", "start", "small strong"), Label(right, 12, "energy", "start", "small strong")],
    )
    for number, (layer, text) in enumerate(zip(layers, names, strict=True)):
        y, x = _TOP + number * _ROW, left
        for part in PARTS:
            count = getattr(layer.parts, part)
            width = _CYCLES * count / most
            if count:
                title = f"{text}: {LIMITS[part]} {count:,} of {layer.cycles:,} cycles"
                boxes.append(Box(x, y, width, _ROW - 5, f"value part-{part}", title))
            x += width
        labels.append(Label(left - 6, y + 12, text, "end", "small"))
        labels.append(Label(x + 5, y + 12, f"{layer.cycles:,}", "start", "small muted"))
        width = _ENERGY * layer.joules / energy
        boxes.append(Box(right, y, max(0.5, width), _ROW - 5, "value energy", f"{text}: {microjoules(layer.joules)}"))
        labels.append(Label(right + width + 5, y + 12, microjoules(layer.joules), "start", "small muted"))
    height = _TOP + len(layers) * _ROW + 4
    return Drawing(name, "cycles and energy by layer", right + _ENERGY + _NUMBER, height, boxes, labels)


def demand_drawing(name: str, device: DeviceAnalysis, capacity: int) -> Drawing:
    """Return bars of what each layer reads and writes in an instance of data memory, and the `capacity` of one."""
    layers = device.layers
    names = [f"{layer.index} {layer.name}".rstrip() for layer in layers]
    left = max(60.0, *(text_width(text) + 12 for text in names))
    most = max(capacity, *(layer.input_bytes + layer.output_bytes for layer in layers))
    scale = _DEMAND / most
    boxes, labels = [], [Label(left + capacity * scale, 12, f"{capacity:,} bytes", "middle", "small strong")]
    for number, (layer, text) in enumerate(zip(layers, names, strict=True)):
        y = _TOP + number * _ROW
        read, written = layer.input_bytes * scale, layer.output_bytes * scale
        boxes.append(Box(left, y, read, _ROW - 5, "value reads", f"{text} reads {layer.input_bytes:,} bytes"))
        boxes.append(
            Box(left + read, y, written, _ROW - 5, "value writes", f"{text} writes {layer.output_bytes:,} bytes")
        )
        labels.append(Label(left - 6, y + 12, text, "end", "small"))
        both = f"{layer.input_bytes:,} + {layer.output_bytes:,}"
        alone = max(layer.input_bytes, layer.output_bytes)
        labels.append(
            Label(
                left + read + written + 5,
                y + 12,
                both,
                "start",
                "small clear over" if alone > capacity else "small clear muted",
            )
        )
    height = _TOP + len(layers) * _ROW + 4
    line = Path(f"M{left + capacity * scale:.1f},16 V{height:.1f}", "limit", front=True)
    return Drawing(name, "data memory by layer", left + _DEMAND + 130, height, boxes, labels, [line])
