"""Image on the home page of the documentation: data memory of the keyword-spotting network over its layers."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.console import Console
from ai8x_tool.report.html.data_map import data_drawing
from ai8x_tool.report.html.page import render
from ai8x_tool.report.html.shapes import Label
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.subjects.analyze import analyze

_TEMPLATE = "report/memory_map.svg.j2"
_SUBJECT = "kws20_v3"
_TITLE = 24
"""Pixels above the drawing."""


def memory_map_svg() -> str:
    """Return the drawing of data memory as an SVG file for light and dark pages."""
    (device,) = analyze(_SUBJECT, AnalyzeSettings(device="MAX78000"), Console(verbosity=-1, muted=True)).devices
    assert device.mapping is not None
    drawing = data_drawing("memory", device.mapping)
    text = f"Data memory of {_SUBJECT} on the {device.device}, layers from left to right"
    title = Label(0, -8, text, "start", "strong")
    return render(_TEMPLATE, drawing=replace(drawing, labels=(*drawing.labels, title)), top=_TITLE)
