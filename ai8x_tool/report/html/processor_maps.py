"""Drawings with one column for each of the 64 processors: kernel memory, and activity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ai8x_tool.analysis import DeviceAnalysis, LayerMetrics
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, PROCESSORS_PER_QUADRANT
from ai8x_tool.mapping.kernel_allocation import INSTANCE
from ai8x_tool.mapping.mapping import LayerMapping, Mapping
from ai8x_tool.report.html.shapes import Box, Drawing, Label, Path, color_of, fitting, text_width

_CELL, _LEFT, _TOP = 10, 60, 10
_KERNELS, _ROW, _SHARE = 320, 16, 60
_ROUND = 64


def runs(processors: int) -> Iterator[tuple[int, int]]:
    """Yield the first processor and the length of each run of processors in a mask."""
    bits = [processors >> i & 1 for i in range(PROCESSORS)]
    edges = [i for i, (a, b) in enumerate(pairwise([0, *bits, 0])) if a != b]
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        yield first, end - first


def kernel_drawing(name: str, mapping: Mapping) -> Drawing:
    """Return the drawing of kernel memory: 64 processors, words from top to bottom."""
    loaded = mapping.kernel_memory.loaded
    used = int(np.flatnonzero(loaded.any(axis=0)).max(initial=0)) + 1
    capacity = mapping.device.kernels_large
    words = capacity if 2 * used > capacity else min(capacity, -(-used // _ROUND) * _ROUND)
    scale = _KERNELS / words
    boxes = [Box(_LEFT, _TOP, PROCESSORS * _CELL, _KERNELS, "lane")]
    small = mapping.device.kernels_small
    if words > small:  # only the first processor of each quadrant has the remaining words
        boxes += [
            Box(
                _LEFT + first * _CELL,
                _TOP + small * scale,
                (PROCESSORS_PER_QUADRANT - 1) * _CELL,
                _KERNELS - small * scale,
                "absent",
                "no memory",
            )
            for first in range(1, PROCESSORS, PROCESSORS_PER_QUADRANT)
        ]
    labels = [*_processor_labels(_TOP + _KERNELS + 12)]
    labels += [
        Label(_LEFT - 8, _TOP + 10, "0", "end", "small muted"),
        Label(_LEFT - 8, _TOP + _KERNELS, f"{words:,}", "end", "small muted"),
    ]
    for mapped in mapping.layers:
        for box in _kernel_boxes(mapped, loaded, scale):
            boxes.append(box)
            text = fitting((_layer_name(mapped), str(mapped.layer.index)), box.width)
            if text and box.height >= 13:
                labels.append(Label(box.x + box.width / 2, box.y + box.height / 2 + 4, text, "middle", "on small"))
    height = _TOP + _KERNELS + 30
    return Drawing(
        name, "kernel memory", _LEFT + PROCESSORS * _CELL + 14, height, boxes, labels, _quadrants(height - 30)
    )


def _layer_name(mapped: LayerMapping) -> str:
    layer = mapped.layer
    return f"{layer.index} {layer.name}" if layer.is_named else str(layer.index)


def _kernel_boxes(mapped: LayerMapping, loaded: npt.NDArray[np.bool_], scale: float) -> Iterator[Box]:
    kernels = mapped.kernels
    if not mapped.layer.has_weights or kernels.duplicate_of is not None:
        return
    style, first, last = f"value {color_of(mapped.layer.index)}", kernels.offset, kernels.offset + kernels.length
    size, used = COLUMN_BYTES * kernels.length, mapped.processors.bit_count()
    title = f"{mapped.layer.label}: words {first:,} to {last - 1:,}, {size:,} bytes in each of {used} processors"
    if mapped.calcx4:  # four instances, side by side
        title = f"{mapped.layer.label} (calcx4): {kernels.length:,} words, a quarter in each of four instances"
        quarter = -(-kernels.length // 4)
        spans = [(block * INSTANCE + first // 4, quarter) for block in range(4)]
    else:
        spans = [(first, kernels.length)]
    for start, length in spans:
        for processor, count in runs(mapped.processors):
            if loaded[processor : processor + count, start : start + length].any():
                yield Box(
                    _LEFT + processor * _CELL,
                    _TOP + start * scale,
                    count * _CELL,
                    max(1.5, length * scale),
                    style,
                    title,
                )


def activity_drawing(name: str, device: DeviceAnalysis) -> Drawing:
    """Return the drawing of the processors that work in each layer, and of each processor's share of all cycles."""
    layers = device.layers
    total = max(1, sum(layer.cycles for layer in layers))
    names = [f"{layer.index} {layer.name}".rstrip() for layer in layers]
    left = max(_LEFT, *(text_width(text) + 12 for text in names))
    boxes: list[Box] = []
    labels: list[Label] = []
    for number, (layer, text) in enumerate(zip(layers, names, strict=True)):
        y = _TOP + number * _ROW
        share = 100 * layer.cycles / total
        boxes.append(Box(left, y, PROCESSORS * _CELL, _ROW - 3, "lane"))
        boxes += [
            Box(
                left + first * _CELL, y, count * _CELL, _ROW - 3, f"value {color_of(layer.index)}", _title(layer, share)
            )
            for first, count in runs(layer.processors)
        ]
        labels.append(Label(left - 6, y + 11, text, "end", "small"))
        labels.append(Label(left + PROCESSORS * _CELL + 6, y + 11, f"{share:.1f} %", "start", "small muted"))
    y = _TOP + len(layers) * _ROW + 8
    boxes.append(Box(left, y, PROCESSORS * _CELL, _SHARE, "lane"))
    shares = busy_shares(layers)
    boxes += [
        Box(
            left + p * _CELL + 1,
            y + _SHARE * (1 - share),
            _CELL - 2,
            _SHARE * share,
            "value busy",
            f"processor {p}: {100 * share:.1f} % of the cycles",
        )
        for p, share in enumerate(shares)
        if share
    ]
    labels.append(Label(left - 6, y + 12, "100 %", "end", "small muted"))
    labels.append(Label(left - 6, y + _SHARE, "0 %", "end", "small muted"))
    labels += _processor_labels(y + _SHARE + 13, left)
    height = y + _SHARE + 30
    paths = _quadrants(height - 30, left)
    return Drawing(name, "processor activity", left + PROCESSORS * _CELL + 56, height, boxes, labels, paths)


def busy_shares(layers: Sequence[LayerMetrics]) -> list[float]:
    """Return the share of all cycles in which each processor belongs to the layer that runs."""
    total = max(1, sum(layer.cycles for layer in layers))
    return [sum(layer.cycles for layer in layers if layer.processors >> p & 1) / total for p in range(PROCESSORS)]


def _title(layer: LayerMetrics, share: float) -> str:
    used = layer.processors.bit_count()
    return f"{layer.index} {layer.name}: {used} of 64 processors, {layer.cycles:,} cycles, {share:.1f} %"


def _processor_labels(y: float, left: float = _LEFT) -> Iterator[Label]:
    for first in range(0, PROCESSORS, 8):
        yield Label(left + first * _CELL + _CELL / 2, y, str(first), "middle", "small muted")
    yield Label(left + (PROCESSORS - 0.5) * _CELL, y, "63", "middle", "small muted")


def _quadrants(bottom: float, left: float = _LEFT) -> list[Path]:
    places = range(PROCESSORS_PER_QUADRANT, PROCESSORS, PROCESSORS_PER_QUADRANT)
    return [Path(f"M{left + first * _CELL},{_TOP} V{bottom}", "grid") for first in places]
