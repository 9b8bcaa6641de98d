"""Drawings of a run: curves over the epochs, the confusion matrix, bars by layer, waveforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai8x_tool.report.html.shapes import Box, Drawing, Label, Path, text_width

_LEFT, _TOP, _WIDTH, _HEIGHT, _BOTTOM = 58, 12, 470, 190, 34
_CELL, _LONGEST, _MOST_NAMED = 26, 28, 60
_ROW, _BAR = 20, 300
_WAVE_WIDTH, _WAVE_HEIGHT, _WAVE_GAP = 220, 44, 3
_MOST_CURVES = 8
"""Maximum number of channels that are drawn as separate curves."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A curve over the epochs; values that do not exist are None. `style` is the style of its line."""

    name: str
    values: Sequence[float | None]
    style: str


@dataclass(frozen=True)
class Bar:
    """A bar of a layer: its name, its length from 0 to 1, the text next to it, and its style."""

    name: str
    share: float
    text: str
    style: str = "busy"


def curve_drawing(
    name: str, description: str, epochs: Sequence[int], curves: Sequence[Curve], start: int | None
) -> Drawing:
    """Return curves over `epochs`; if given, the epoch `start`, at which QAT starts, is marked by a line."""
    known = [value for curve in curves for value in curve.values if value is not None and math.isfinite(value)]
    low, high, step = _range(known)
    wide = max(1, epochs[-1] - epochs[0])

    def at(epoch: float, value: float) -> tuple[float, float]:
        x = _LEFT + _WIDTH * (epoch - epochs[0]) / wide
        return x, _TOP + _HEIGHT * (1 - (value - low) / (high - low))

    paths, labels, boxes = [], [], []
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        y = at(epochs[0], value)[1]
        paths.append(Path(f"M{_LEFT},{y:.1f} H{_LEFT + _WIDTH}", "grid"))
        labels.append(Label(_LEFT - 6, y + 4, f"{value:.6g}", "end", "small muted"))
    for epoch in _whole_ticks(epochs[0], epochs[-1]):
        x = at(epoch, low)[0]
        paths.append(Path(f"M{x:.1f},{_TOP + _HEIGHT} v4", "line"))
        labels.append(Label(x, _TOP + _HEIGHT + 16, str(epoch), "middle", "small muted"))
    labels.append(Label(_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 30, "epoch", "middle", "small muted"))
    if start is not None and start > epochs[0]:
        x = at(start - 0.5, low)[0]
        paths.append(Path(f"M{x:.1f},{_TOP} V{_TOP + _HEIGHT}", "limit", front=True))
        labels.append(Label(x + 4, _TOP + 10, "QAT", "start", "small clear muted"))
    for curve in curves:
        known_points = [
            (epoch, value)
            for epoch, value in zip(epochs, curve.values, strict=True)
            if value is not None and math.isfinite(value)
        ]
        line = " L".join("{:.1f},{:.1f}".format(*at(*point)) for point in known_points)
        paths += [Path(f"M{line}", f"curve edge-{curve.style}", front=True)] if line else []
        for epoch, value in known_points:
            x, y = at(epoch, value)
            boxes.append(Box(x - 2, y - 2, 4, 4, f"value {curve.style}", f"{curve.name}, epoch {epoch}: {value:.6g}"))
    return Drawing(name, description, _LEFT + _WIDTH + 16, _TOP + _HEIGHT + _BOTTOM, boxes, labels, paths)


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the ends of an axis, and the step of its ticks, for `values`."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _whole_ticks(first: int, last: int) -> range:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if (last - first) / s <= 12)
    return range(-(-first // step) * step, last + 1, step)


def confusion_drawing(name: str, counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Drawing:
    """Return the confusion matrix: rows are true classes, shades are shares of a row."""
    names = [*labels, *(str(number) for number in range(len(labels), len(counts)))][: len(counts)]
    shown = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in names]
    left, top = max(map(text_width, shown), default=0) + 14, 26
    cell = max(_CELL, *(text_width(str(count)) + 8 for row in counts for count in row))
    boxes, texts = [], [Label(left, 12, "predicted class, in the order of the rows", "start", "small muted")]
    for true, row in enumerate(counts):
        total, y = max(1, sum(row)), top + true * _CELL
        texts.append(Label(left - 6, y + 17, shown[true], "end", "small"))
        for predicted, count in enumerate(row):
            x = left + predicted * cell
            style = "right" if true == predicted else "wrong"
            title = f"{names[true]}, predicted as {names[predicted]}: {count} of {sum(row)}"
            boxes.append(Box(x, y, cell - 1, _CELL - 1, "lane"))
            if count:
                level = min(9, int(10 * count / total))
                boxes.append(Box(x, y, cell - 1, _CELL - 1, f"value {style} level-{level}", title))
                texts.append(Label(x + cell / 2, y + 17, str(count), "middle", "small"))
    width = left + max(len(counts) * cell, text_width(texts[0].text)) + 10
    return Drawing(name, "confusion matrix", width, top + len(counts) * _CELL + 6, boxes, texts)


def bar_drawing(name: str, description: str, bars: Sequence[Bar]) -> Drawing:
    """Return horizontal bars, one below the other."""
    left = max([60.0, *(text_width(bar.name) + 12 for bar in bars)])
    boxes, labels = [], []
    for number, bar in enumerate(bars):
        y, width = 2 + number * _ROW, max(0.5, _BAR * min(1.0, bar.share))
        boxes.append(Box(left, y, _BAR, _ROW - 5, "lane"))
        boxes.append(Box(left, y, width, _ROW - 5, f"value {bar.style}", f"{bar.name}: {bar.text}"))
        labels.append(Label(left - 6, y + 12, bar.name, "end", "small"))
        labels.append(Label(left + _BAR + 6, y + 12, bar.text, "start", "small muted"))
    width = left + _BAR + 14 + max((text_width(bar.text) for bar in bars), default=0)
    return Drawing(name, description, width, 4 + len(bars) * _ROW, boxes, labels)


def wave_drawing(name: str, values: Array) -> Drawing:
    """Return the curves of a sample (channels, length), one channel below the other.

    More channels than that are one folded signal: successive values are in successive channels.
    """
    rows = values if len(values) <= _MOST_CURVES else values.T.reshape(1, -1)
    height = _WAVE_HEIGHT if len(rows) > 1 else 2 * _WAVE_HEIGHT
    low, high = float(values.min()), float(values.max())
    paths, boxes = [], []
    for number, row in enumerate(rows):
        y = number * (height + _WAVE_GAP)
        boxes.append(Box(0, y, _WAVE_WIDTH, height, "lane"))
        scale = (height - 4) / (high - low or 1)
        points = [(x, y + 2 + (high - value) * scale) for x, value in _envelope(row)]
        line = " L".join(f"{x:.1f},{where:.1f}" for x, where in points)
        paths.append(Path(f"M{line}", f"curve edge-c{number % 8}", front=True))
    total = len(rows) * (height + _WAVE_GAP) - _WAVE_GAP
    return Drawing(name, f"{len(values)} channels of {values.shape[1]} values", _WAVE_WIDTH, total, boxes, (), paths)


def _envelope(row: Array) -> list[tuple[float, float]]:
    """Return the points of a curve: all values of a short one, otherwise the extremes within each pixel."""
    if len(row) <= 2 * _WAVE_WIDTH:
        step = _WAVE_WIDTH / max(1, len(row) - 1)
        return [(number * step, float(value)) for number, value in enumerate(row)]
    parts = np.array_split(row, _WAVE_WIDTH)
    return [
        (x + half, float(end)) for x, part in enumerate(parts) for half, end in ((0.0, part.min()), (0.5, part.max()))
    ]
