"""Text output of ``ai8x analyze``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from ai8x_tool.analysis import Analysis, DeviceAnalysis, LayerMetrics, Resource
from ai8x_tool.mapping.energy import EnergyPhase
from ai8x_tool.report.columns import Column, Line, Table, short_operator, side_by_side
from ai8x_tool.text import ASCII, one_line

_NO_TERMINAL = 120
"""Width of the text in files and pipes."""
LIMITS = {
    "reading": "reading",
    "computing": "compute",
    "writing": "writing",
    "pipeline": "pipeline",
    "column": "column",
}
_LEGEND = (
    "passes: rounds over the 64 processors; busy: share of them that multiply; "
    "limit: what takes most cycles; weights, data (output, per instance): bytes"
)


@dataclass(frozen=True)
class AnalysisText:
    """An analysis as text for the console."""

    analysis: Analysis

    def lines(self, width: int | None = None, *, plain: bool = False) -> Iterator[Line]:
        """Yield the lines for a terminal of `width` cells, 120 without a terminal."""
        for text in analysis_lines(self.analysis, width or _NO_TERMINAL):
            yield Line(text.translate(ASCII) if plain else text)


def analysis_lines(analysis: Analysis, width: int) -> Iterator[str]:
    """Yield the lines of an analysis, at most `width` characters wide unless names and numbers need more."""
    yield f"{one_line(analysis.name)} ({analysis.kind}), input {shape_text(analysis.input_shape)}"
    yield ""
    yield from side_by_side(_summary(analysis.devices), width)
    for device in analysis.devices:
        if device.problem is not None:
            yield ""
            yield f"{device.device}: {one_line(device.problem)}"
            yield from _remedy_lines(device, width)
    shown = [device for device in analysis.devices if device.fits] or [d for d in analysis.devices if d.layers][:1]
    for device in shown:
        yield ""
        yield from _layer_table(device, width)
    if shown:
        yield ""
        yield from wrap(_LEGEND, width)


def _remedy_lines(device: DeviceAnalysis, width: int) -> Iterator[str]:
    """Yield the changes that were found to help, the cheapest first."""
    if device.remedies:
        yield "Changes that would help, each of them tested:"
    for remedy in device.remedies:
        text = one_line(str(remedy)) + (" (train again)" if remedy.retraining else "")
        yield from wrap(
            text, width, initial_indent="* ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )


def _summary(devices: Sequence[DeviceAnalysis]) -> list[tuple[str, list[str]]]:
    rows: list[tuple[str, list[str]]] = [("", [device.device for device in devices])]

    def add(label: str, texts: list[str]) -> None:
        if any(texts):
            rows.append((label, texts))

    add("fits", ["yes" if device.fits else "no" for device in devices])
    add("placement", [device.placement if device.fits else "" for device in devices])
    add("input", [device.path.replace(" input", ",", 1) for device in devices])
    add("copies added", [f"{len(device.copies)}" if device.copies else "" for device in devices])
    add("overlaps", [", ".join(device.overlaps) for device in devices])
    for name in dict.fromkeys(resource.name for device in devices for resource in device.resources):
        found = [next((r for r in device.resources if r.name == name), None) for device in devices]
        if any(resource is not None and resource.used for resource in found):
            add(name, ["" if resource is None else resource_text(resource) for resource in found])
    add("tightest", [_tightest(device) for device in devices])
    add("clock", [clock_text(device) for device in devices])
    add("cycles", [cycles_text(device) for device in devices])
    for label, phase in (("load weights", "load_weights"), ("load input", "load_input"), ("inference", "inference")):
        add(label, [_phase(device, phase) for device in devices])
    add("input rate", [rate_text(device) for device in devices])
    return rows


def resource_text(resource: Resource) -> str:
    """Return the use of a resource as text."""
    return f"{resource.used:,} of {resource.total:,} ({100 * resource.share:.0f} %)"


def _tightest(device: DeviceAnalysis) -> str:
    tightest = device.tightest
    if tightest is None or not (device.fits or tightest.share > 1):
        return ""
    return f"{tightest.name}: {tightest.where}" if tightest.where else tightest.name


def clock_text(device: DeviceAnalysis) -> str:
    """Return the clock of the accelerator as text."""
    return f"{device.clock_mhz:g} MHz{', pipeline' if device.pipeline else ''}"


def cycles_text(device: DeviceAnalysis) -> str:
    """Return the cycles of an inference as text."""
    if not device.layers:
        return ""
    return f"{device.cycles:,}" if device.fits else f"at least {device.cycles:,}"


def _phase(device: DeviceAnalysis, name: str) -> str:
    return "" if device.estimate is None else phase_text(getattr(device.estimate, name))


def phase_text(phase: EnergyPhase) -> str:
    """Return time and energy as text; empty for a phase that takes no time of its own."""
    return f"{milliseconds(phase.seconds)}, {microjoules(phase.joules)}" if phase.seconds else ""


def milliseconds(seconds: float) -> str:
    """Return a time, given in seconds, as text in milliseconds with three significant digits."""
    value = 1000 * seconds
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} ms"


def microjoules(joules: float) -> str:
    """Return an energy, given in joules, as text in microjoules."""
    value = 1e6 * joules
    return f"{value:,.0f} µJ" if value >= 10 else f"{value:.1f} µJ"


def rate_text(device: DeviceAnalysis) -> str:
    """Return the input rate of a streaming network as text; empty for other networks."""
    estimate = device.estimate
    if estimate is None or estimate.input_rate is None:
        return ""
    return f"{estimate.input_rate / 1e6:,.2f} million words/s"


def _layer_table(device: DeviceAnalysis, width: int) -> Iterator[str]:
    bound = "" if device.fits else ": minimum cycles, with any placement"
    yield f"{device.device}, {clock_text(device)}{bound}"
    layers = device.layers
    names = tuple(f"{layer.index} {layer.name}".rstrip() for layer in layers)
    operators = tuple(layer.operator for layer in layers)
    short = tuple(map(short_operator, operators))
    texts = (Column("layer", names, right=False), Column("operator", operators, right=False, short=short))
    yield from (line.text for line in Table((*texts, *_figures(layers)), keep=True).lines(width))


def _figures(layers: Sequence[LayerMetrics]) -> list[Column]:
    def column(heading: str, cells: list[str], rank: int = 0) -> Column:
        return Column(heading, tuple(cells), rank=rank)

    return [
        column("output", [shape_text(layer.output_shape) for layer in layers]),
        column("passes", [str(layer.passes) for layer in layers]),
        column("cycles", [f"{layer.cycles:,}" for layer in layers]),
        column("busy", [busy_text(layer) for layer in layers], 1),
        column("limit", [LIMITS[layer.limit] if layer.cycles else "" for layer in layers], 2),
        column("weights", [f"{layer.weight_bytes:,}" for layer in layers]),
        column("data", [f"{layer.output_bytes:,}" for layer in layers]),
    ]


def busy_text(layer: LayerMetrics) -> str:
    """Return the share of the processors that multiply as text."""
    return "–" if layer.utilization is None else f"{100 * layer.utilization:.0f} %"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as channels×rows×columns, without columns for 1D data."""
    trimmed = list(shape)
    while len(trimmed) > 1 and trimmed[-1] == 1:
        trimmed.pop()
    return "×".join(map(str, trimmed))
