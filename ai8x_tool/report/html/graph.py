"""Drawing of a network's layers, from top to bottom, and of their inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ai8x_tool.analysis import DeviceAnalysis, LayerMetrics
from ai8x_tool.analysis.buffers import layer_key
from ai8x_tool.report.analysis_text import shape_text
from ai8x_tool.report.html.shapes import Box, Drawing, Label, Path, color_of, text_width

_HEIGHT, _ROW, _SPACE, _EDGE = 44, 70, 24, 12
_LANE = 10
"""Pixels between lines that are routed around boxes."""
_LEAST = 150
_BOLD = 1.2
"""Ratio of the widths of bold and normal text."""


def network_drawing(name: str, device: DeviceAnalysis) -> Drawing:
    """Return the drawing of all layers; inputs have boxes of their own."""
    layers = device.layers
    nodes = [*_sources(layers), *[layer_key(layer) for layer in layers]]
    inputs = {layer_key(layer): layer.inputs for layer in layers}
    ranks = _ranks(nodes, inputs)
    texts = {layer_key(layer): _texts(layer) for layer in layers} | {
        source: (source, "") for source in _sources(layers)
    }
    width = max(_LEAST, *(max(_BOLD * text_width(name), text_width(text)) + 18 for name, text in texts.values()))
    around = _around(ranks, inputs)
    rows = defaultdict(list)
    for node in nodes:
        rows[ranks[node]].append(node)
    across = max(map(len, rows.values()))
    total = across * (width + _SPACE) - _SPACE + 2 * _EDGE + _LANE * len(around)
    middle = (total - _LANE * len(around)) / 2
    places = {
        node: (middle + (number - (len(row) - 1) / 2) * (width + _SPACE) - width / 2, _EDGE + rank * _ROW)
        for rank, row in rows.items()
        for number, node in enumerate(row)
    }
    by_name = {layer_key(layer): layer for layer in layers}
    boxes = [
        Box(*places[node], width, _HEIGHT, _style(by_name.get(node), device), _title(by_name.get(node)))
        for node in nodes
    ]
    right = total - _EDGE - _LANE * len(around)
    return Drawing(
        name=name,
        description="network graph",
        width=total,
        height=_EDGE * 2 + max(rows) * _ROW + _HEIGHT,
        boxes=boxes,
        labels=[label for node in nodes for label in _labels(places[node], width, texts[node])],
        paths=[
            _path(
                places[source],
                places[node],
                width,
                right + _LANE * around[source, node] if (source, node) in around else 0,
            )
            for node, sources in inputs.items()
            for source in dict.fromkeys(sources)
        ],
    )


def _sources(layers: Sequence[LayerMetrics]) -> list[str]:
    known = {layer_key(layer) for layer in layers}
    return list(dict.fromkeys(source for layer in layers for source in layer.inputs if source not in known))


def _ranks(nodes: Sequence[str], inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the row of each node, which is below all nodes that it reads."""
    ranks: dict[str, int] = {}
    waiting = list(nodes)
    while waiting:
        node = next((n for n in waiting if all(source in ranks for source in inputs.get(n, ()))), waiting[0])
        waiting.remove(node)
        ranks[node] = max((ranks.get(source, -1) + 1 for source in inputs.get(node, ())), default=0)
    return ranks


def _around(ranks: Mapping[str, int], inputs: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], int]:
    """Return the lane of each line that is routed around other rows: the first free lane."""
    long = sorted(
        {(ranks[source], ranks[node], source, node) for node in inputs for source in inputs[node]},
        key=lambda edge: (edge[1] - edge[0], edge[0]),
    )
    lanes: list[list[tuple[int, int]]] = []
    found = {}
    for first, last, source, node in long:
        if last - first < 2:
            continue
        lane = next((i for i, used in enumerate(lanes) if all(last <= a or b <= first for a, b in used)), len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((first, last))
        found[source, node] = lane
    return found


def _path(start: tuple[float, float], end: tuple[float, float], width: float, lane: float) -> Path:
    (x, y), (to_x, to_y) = start, end
    if not lane:
        begin, target = x + width / 2, to_x + width / 2
        half = (y + _HEIGHT + to_y) / 2
        line = f"M{begin:.1f},{y + _HEIGHT:.1f} C{begin:.1f},{half:.1f} {target:.1f},{half:.1f} {target:.1f},{to_y:.1f}"
        return Path(line, arrow=True)
    side = lane + _LANE
    top, bottom = y + 0.75 * _HEIGHT, to_y + 0.25 * _HEIGHT  # a box may end one line and begin the next
    line = f"M{x + width:.1f},{top:.1f} H{side:.1f} V{bottom:.1f} H{to_x + width:.1f}"
    return Path(line, arrow=True)


def _texts(layer: LayerMetrics) -> tuple[str, str]:
    title = f"{layer.index} {layer.name}".rstrip()
    return title, f"{layer.operator} → {shape_text(layer.output_shape)}"


def _style(layer: LayerMetrics | None, device: DeviceAnalysis) -> str:
    if layer is None:
        return "node source"
    return f"node edge-{color_of(layer.index)}" + (" copy" if layer.name in device.copies else "")


def _title(layer: LayerMetrics | None) -> str:
    if layer is None:
        return "provided by the host"
    weights = f", {layer.weight_bytes:,} bytes of weights" if layer.weight_bytes else ""
    where = f" – {layer.source}" if layer.source else ""
    return (
        f"{shape_text(layer.input_shape)} → {shape_text(layer.output_shape)}, {layer.cycles:,} cycles{weights}{where}"
    )


def _labels(place: tuple[float, float], width: float, texts: tuple[str, str]) -> list[Label]:
    x, y = place[0] + width / 2, place[1]
    if not texts[1]:
        return [Label(x, y + 27, texts[0], "middle", "strong")]
    return [Label(x, y + 18, texts[0], "middle", "strong"), Label(x, y + 35, texts[1], "middle", "small")]
