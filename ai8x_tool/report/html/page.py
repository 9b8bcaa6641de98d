"""HTML page of an analysis: its content for each device, and the rendering of its template."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import jinja2
from markupsafe import Markup

from ai8x_tool.analysis import Analysis, DeviceAnalysis, LayerMetrics, Resource
from ai8x_tool.device import find_device
from ai8x_tool.report.analysis_text import (
    LIMITS,
    busy_text,
    clock_text,
    cycles_text,
    phase_text,
    rate_text,
    resource_text,
    shape_text,
)
from ai8x_tool.report.html.bars import PARTS, cost_drawing, demand_drawing
from ai8x_tool.report.html.data_map import DataRow, data_drawing, data_rows
from ai8x_tool.report.html.graph import network_drawing
from ai8x_tool.report.html.processor_maps import activity_drawing, busy_shares, kernel_drawing
from ai8x_tool.report.html.shapes import COLORS, Drawing, color_of
from ai8x_tool.resources import shipped
from ai8x_tool.text import one_line
from ai8x_tool.version import __version__

_TEMPLATE = "report/analysis.html.j2"


@dataclass(frozen=True)
class DevicePage:
    """Content of the page for one device. Drawings that need a placement are None if there is none."""

    device: DeviceAnalysis
    facts: tuple[tuple[str, str], ...]
    resources: tuple[tuple[Resource, str, float], ...]
    network: Drawing | None
    costs: Drawing | None
    demand: Drawing | None
    data: Drawing | None
    data_rows: tuple[DataRow, ...]
    kernels: Drawing | None
    activity: Drawing | None
    activity_text: str


def html_report(analysis: Analysis) -> str:
    """Return the report as a self-contained HTML file with styles for light and dark screens and for paper."""
    devices = [device_page(device) for device in analysis.devices]
    return render(_TEMPLATE, analysis=analysis, shape=shape_text(analysis.input_shape), devices=devices)


def render(template: str, **values: object) -> str:
    """Return a page from its template, with `values` in addition to those that all pages use."""
    common = {
        "colors": [color_of(index) for index in range(COLORS)],
        "parts": [(part, LIMITS[part]) for part in PARTS],
        "version": __version__,
    }
    return _environment().get_template(template).render(common | values)


def device_page(device: DeviceAnalysis) -> DevicePage:
    """Return the content of the page for a device."""
    name, mapping = device.device.lower(), device.mapping
    return DevicePage(
        device=device,
        facts=tuple((label, text) for label, text in _facts(device) if text),
        resources=tuple((r, resource_text(r), min(1.0, r.share)) for r in device.resources if r.used),
        network=network_drawing(f"{name}-network", device) if device.layers else None,
        costs=cost_drawing(f"{name}-costs", device) if device.layers else None,
        demand=_demand(device),
        data=None if mapping is None else data_drawing(f"{name}-data", mapping),
        data_rows=() if mapping is None else tuple(data_rows(mapping)),
        kernels=None if mapping is None else kernel_drawing(f"{name}-kernels", mapping),
        activity=None if mapping is None else activity_drawing(f"{name}-activity", device),
        activity_text=_activity_text(device.layers),
    )


def _demand(device: DeviceAnalysis) -> Drawing | None:
    """Return the drawing of the data memory that the layers of a network that does not fit need."""
    if device.fits or not device.layers:
        return None
    return demand_drawing(f"{device.device.lower()}-demand", device, find_device(device.device).instance_size)


def _facts(device: DeviceAnalysis) -> list[tuple[str, str]]:
    estimate = device.estimate
    facts = [
        ("Placement", device.placement if device.fits else ""),
        ("Input", device.path),
        ("Clock", clock_text(device)),
        ("Cycles", cycles_text(device)),
    ]
    if estimate is not None:
        facts += [
            ("Inference", phase_text(estimate.inference)),
            ("Load input", phase_text(estimate.load_input)),
            ("Load weights", phase_text(estimate.load_weights)),
            ("Input rate", rate_text(device)),
            ("Time", estimate.time_basis),
            ("Energy", estimate.energy_basis),
        ]
    return [*facts, ("Copies added", ", ".join(device.copies)), ("Overlaps", ", ".join(device.overlaps))]


def _activity_text(layers: tuple[LayerMetrics, ...]) -> str:
    shares = busy_shares(layers)
    idle = sum(share == 0 for share in shares)
    average = 64 * sum(shares) / len(shares)
    never = f"; {idle} are never used" if idle else "; all of them are used at some time"
    return f"On average {average:.0f} of 64 processors belong to the layer that runs{never}."


def _printed(value: object) -> object:
    """Return a text with unprintable characters, among them marks of writing direction, escaped as in Python."""
    return value if isinstance(value, int | float | Markup) else one_line(str(value))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(shipped("templates"))),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_printed,
    )
    environment.filters.update(shape=shape_text, busy=busy_text, color=color_of)
    environment.globals["limits"] = LIMITS
    return environment
