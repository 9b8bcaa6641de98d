"""Drawing of data memory over the schedule: one lane for each group of processors that hold the same buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ai8x_tool.analysis.buffers import INSTANCES, DataBuffer, data_buffers
from ai8x_tool.mapping.mapping import Mapping
from ai8x_tool.mapping.words import Words
from ai8x_tool.report.html.shapes import Box, Drawing, Label, Path, Stripes, color_of, fitting, text_width

_LEFT, _TOP, _LANE, _SPACE, _BOTTOM = 118, 10, 116, 16, 34
_WIDTH, _NARROWEST, _WIDEST = 880, 26, 96
_GAP, _LEAST = 9, 14
"""Pixels of an unused range of addresses, and minimum pixels of a used one."""
_STRIPE = 3.0
_LINE = 13
"""Height of a line of text in pixels."""


@dataclass(frozen=True)
class DataRow:
    """One line of the table of buffers."""

    name: str
    style: str
    bytes: int
    places: str
    processors: str
    time: str
    producer: str
    readers: str


@dataclass(frozen=True)
class _Scale:
    """Vertical axis of a lane: the words of an instance that are in use, from the bottom up, with short gaps between.

    Each range is (first word, word after the last, pixels from the bottom, pixels).
    """

    ranges: tuple[tuple[int, int, float, float], ...]

    def height(self, word: int) -> float:
        """Return the pixels from the bottom to the start of a word."""
        first, end, start, size = next(r for r in self.ranges if r[0] <= word <= r[1])
        return start + size * (word - first) / (end - first)


def data_drawing(name: str, mapping: Mapping) -> Drawing:
    """Return the drawing of data memory; addresses that no buffer uses are left out."""
    buffers = data_buffers(mapping)
    lanes, scale = _lanes(buffers), _scale(buffers)
    columns = len(mapping.placement.order) + 2
    step = max(_NARROWEST, min(_WIDEST, _WIDTH / columns))
    bottom = _TOP + len(lanes) * (_LANE + _SPACE) - _SPACE
    boxes: list[Box] = []
    labels = list(_axis(mapping, step, bottom + 4))
    stripes: dict[str, Stripes] = {}
    for number, (instances, content) in enumerate(lanes):
        y = _TOP + number * (_LANE + _SPACE)
        boxes.append(Box(_LEFT, y, columns * step, _LANE, "lane"))
        labels += _lane_labels(instances, scale, y)
        for buffer, words in content:
            box, pattern = _box(name, mapping, buffer, words, scale, y, step)
            boxes.append(box)
            if pattern is not None:
                stripes[pattern.name] = pattern
        labels += _buffer_labels(boxes[-len(content) :], [buffer for buffer, _ in content])
    lines = [Path(f"M{_LEFT + i * step:.1f},{_TOP} V{bottom:.1f}", "grid") for i in range(1, columns)]
    size = _LEFT + columns * step + 12, bottom + _BOTTOM
    return Drawing(name, "data memory over the schedule", *size, boxes, labels, lines, list(stripes.values()))


def data_rows(mapping: Mapping) -> list[DataRow]:
    """Return all buffers in data memory, for the table below the drawing."""
    rows = []
    for buffer in data_buffers(mapping):
        instances = 0
        for words in buffer.words:
            instances |= words.instances
        first, last = min(w.first for w in buffer.words), max(w.last for w in buffer.words)
        filled = max(sum(w.length * w.run for w in buffer.instance_words(i)) for i in range(INSTANCES))
        spread = "" if filled == last - first + 1 else ", with gaps"
        rows.append(
            DataRow(
                name=buffer.name,
                style=_style(buffer),
                bytes=buffer.bytes,
                places=f"{4 * first:#x}–{4 * last + 3:#x}{spread}",
                processors=_processors([i for i in range(INSTANCES) if instances >> i & 1]),
                time=_time(mapping, buffer),
                producer=buffer.producer,
                readers=", ".join(buffer.readers) or "none",
            )
        )
    return rows


def _lanes(buffers: Sequence[DataBuffer]) -> list[tuple[list[int], list[tuple[DataBuffer, Words]]]]:
    """Return groups of adjacent instances with the same buffers, each with these buffers; empty ones are left out."""
    content = [tuple(n for n, buffer in enumerate(buffers) if buffer.instance_words(i)) for i in range(INSTANCES)]
    lanes = []
    for held, group in groupby(range(INSTANCES), key=content.__getitem__):
        instances = list(group)
        most = [
            max(
                (buffers[n].instance_words(i) for i in instances),
                key=lambda words: sum(w.length * w.run for w in words),
            )
            for n in held
        ]
        if held:
            lanes.append((instances, [(buffers[n], w) for n, words in zip(held, most, strict=True) for w in words]))
    return lanes


def _scale(buffers: Sequence[DataBuffer]) -> _Scale:
    """Return the axis; the ranges in use have heights in proportion to their sizes."""
    ranges: list[list[int]] = []
    for first, end in sorted((words.first, words.last + 1) for buffer in buffers for words in buffer.words):
        if ranges and first <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], end)
        else:
            ranges.append([first, end])
    below = _GAP if ranges and ranges[0][0] else 0
    room = max(_LEAST, _LANE - below - _GAP * len(ranges))
    total = sum(end - first for first, end in ranges) or 1
    least = min(_LEAST, room / max(1, len(ranges)))
    sizes = [max(least, room * (end - first) / total) for first, end in ranges]
    shrunk = [size * room / sum(sizes) for size in sizes]
    found, start = [], float(below)
    for (first, end), size in zip(ranges, shrunk, strict=True):
        found.append((first, end, start, size))
        start += size + _GAP
    return _Scale(tuple(found))


def _buffer_labels(boxes: Sequence[Box], buffers: Sequence[DataBuffer]) -> Iterator[Label]:
    """Yield a label, a name or else a number, for each buffer of a lane where it fits and covers no other label."""
    taken: list[tuple[float, float, float, float]] = []
    seen: set[str] = set()
    for box, buffer in zip(boxes, buffers, strict=True):
        short = buffer.name if buffer.layer is None else str(buffer.layer)
        text = fitting((buffer.name, short), box.width)
        if buffer.name in seen or box.height < _LINE or not text:
            continue
        width = text_width(text)
        for x, y in _label_places(box, width):
            here = x, x + width, y - _LINE, y
            if all(here[1] <= t[0] or t[1] <= here[0] or here[3] <= t[2] or t[3] <= here[2] for t in taken):
                taken.append(here)
                seen.add(buffer.name)
                yield Label(x, y, text, "start", "halo small" if box.stripes else "on small")
                break


def _label_places(box: Box, width: float) -> Iterator[tuple[float, float]]:
    """Yield positions of a label in a box, the best first; striped boxes share their area from some step on."""
    middle, left = box.x + (box.width - width) / 2, box.x + 4
    lines = (box.y + box.height / 2 + 4, box.y + _LINE - 2, box.y + box.height - 3)
    for x in (left, middle) if box.stripes else (middle, left):
        yield from ((x, y) for y in (lines if box.height >= 2 * _LINE else lines[:1]))


def _lane_labels(instances: Sequence[int], scale: _Scale, y: float) -> Iterator[Label]:
    """Yield the processors of a lane, and the first address of each range."""
    yield Label(4, y + 12, _processors(instances), "start", "strong small")
    above = -float(_LINE)
    for first, end, start, size in scale.ranges:
        for word, place in ((first, start), (end, start + size - 10)):
            if place - above >= _LINE:
                yield Label(_LEFT - 6, y + _LANE - place, f"{4 * word:#x}", "end", "small muted")
                above = place


def _box(
    name: str, mapping: Mapping, buffer: DataBuffer, words: Words, scale: _Scale, y: float, step: float
) -> tuple[Box, Stripes | None]:
    low, high = scale.height(words.first), scale.height(words.last + 1)
    inside = 4 * words.length * words.run
    title = (
        f"{buffer.name}: {inside:,} bytes in an instance, {buffer.bytes:,} in all, at {4 * words.first:#x}–"
        f"{4 * words.last + 3:#x}; {_time(mapping, buffer)}; written by {buffer.producer}, "
        f"read by {', '.join(buffer.readers) or 'none'}"
    )
    pattern = _pattern(name, buffer, words) if words.step > words.run and words.length > 1 else None
    box = Box(
        x=_LEFT + (buffer.born + 1) * step,
        y=y + _LANE - high,
        width=(buffer.dies - buffer.born + 1) * step,
        height=max(1.5, high - low),
        style=f"value {_style(buffer)}",
        title=title,
        stripes="" if pattern is None else pattern.name,
    )
    return box, pattern


def _style(buffer: DataBuffer) -> str:
    return "host" if buffer.layer is None else color_of(buffer.layer)


def _time(mapping: Mapping, buffer: DataBuffer) -> str:
    """Return the lifetime of the values as text."""
    order = mapping.placement.order
    first = "start" if buffer.born < 0 else f"layer {mapping.network[order[buffer.born]].index}"
    last = "end" if buffer.dies >= len(order) else f"layer {mapping.network[order[buffer.dies]].index}"
    return first if first == last else f"{first} to {last}"


def _pattern(name: str, buffer: DataBuffer, words: Words) -> Stripes:
    color, phase = _style(buffer), words.first % words.step
    label = f"{name}-{color}-{words.step}-{phase}-{words.run}"
    return Stripes(label, color, _STRIPE * words.step, _STRIPE * (words.step - phase - words.run), _STRIPE * words.run)


def _processors(instances: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for instance in instances:
        if runs and instance == runs[-1][1] + 1:
            runs[-1][1] = instance
        else:
            runs.append([instance, instance])
    return ", ".join(f"{4 * first}–{4 * last + 3}" for first, last in runs)


def _axis(mapping: Mapping, step: float, y: float) -> Iterator[Label]:
    yield Label(_LEFT - 6, y + 10, "layer", "end", "small muted")
    yield Label(_LEFT + step / 2, y + 10, "in", "middle", "small muted")
    for number, name in enumerate(mapping.placement.order):
        layer = mapping.network[name]
        x = _LEFT + (number + 1.5) * step
        yield Label(x, y + 10, str(layer.index), "middle", "small strong")
        if layer.is_named and fitting((layer.name,), step):
            yield Label(x, y + 24, layer.name, "middle", "small muted")
    yield Label(_LEFT + (len(mapping.placement.order) + 1.5) * step, y + 10, "out", "middle", "small muted")
