"""Elements of drawings. Positions and sizes are in pixels, from the upper left corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

CHARACTER = 6.4
"""Upper bound of the average width of a label's characters, in pixels."""
COLORS = 8


@dataclass(frozen=True)
class Box:
    """A rectangle. `title` is its tooltip, `stripes` the name of the pattern that fills it, if any."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str = ""
    stripes: str = ""


@dataclass(frozen=True)
class Label:
    """A text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    style: str = ""


@dataclass(frozen=True)
class Path:
    """A line in SVG path syntax, behind the boxes or, with `front` or an arrow, in front of them."""

    line: str
    style: str = "line"
    arrow: bool = False
    front: bool = False


@dataclass(frozen=True)
class Stripes:
    """A pattern of horizontal stripes: `height` of every `period` pixels, from `start` on."""

    name: str
    style: str
    period: float
    start: float
    height: float


@dataclass(frozen=True)
class Drawing:
    """A drawing. `name` is unique in the file, `description` is the text for screen readers."""

    name: str
    description: str
    width: float
    height: float
    boxes: Sequence[Box] = ()
    labels: Sequence[Label] = ()
    paths: Sequence[Path] = ()
    stripes: Sequence[Stripes] = ()


def text_width(text: str) -> float:
    """Return the estimated width of a label in pixels."""
    return CHARACTER * cell_len(text)


def color_of(index: int) -> str:
    """Return the style of a layer's color, the same in all drawings."""
    return f"c{index % COLORS}"


def fitting(texts: Sequence[str], width: float) -> str:
    """Return the first text that fits `width`, an empty string if none does: texts are not truncated."""
    return next((text for text in texts if text_width(text) + 4 <= width), "")
