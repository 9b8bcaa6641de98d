"""Analysis of the subject of ``ai8x analyze`` on one or both devices."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ai8x_tool import resources
from ai8x_tool.analysis.device_analysis import NONE, Clocks, analyze_network, with_remedies
from ai8x_tool.analysis.result import Analysis, DeviceAnalysis, Shape
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.network import Network
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.files import read_recipe
from ai8x_tool.subjects.description import DescribedNetwork
from ai8x_tool.subjects.find import DESCRIPTION, RECIPE, Subject, find_subject


class Source(Protocol):
    """Source of a network: its name, the shape of its input, and the network as a device would execute it."""

    @property
    def name(self) -> str:
        """The name of the network."""

    @property
    def input_shape(self) -> Shape:
        """(channels, rows, columns) of a sample."""

    def on(self, device: Device) -> tuple[Network, Placement | None, MappingOptions]:
        """Return the network for `device`, its placement, None if it has none, and the options of the input path."""


def analyze(given: str | Path, settings: AnalyzeSettings, console: Console, *, remedies: bool = True) -> Analysis:
    """Return the analysis of what `given` names on the devices of the settings.

    If the network fits none of them, changes that would help are searched for, unless `remedies` is False. A network
    that does not fit is a result, not an exception. Raises Ai8xError for errors in the files, and for unknown sizes.
    """
    subject = find_subject(given)
    source = _source(subject, settings, console)
    devices = tuple(_analyze_device(source, device, settings, console) for device in settings.devices)
    if all(found.network is None for found in devices) and len({found.problem for found in devices}) == 1:
        raise Ai8xError(str(devices[0].problem))  # an error of the file, not of a device
    if remedies and not any(found.fits for found in devices):
        pairs = zip(devices, settings.devices, strict=True)
        devices = tuple(_with_remedies(found, source, device, settings, console) for found, device in pairs)
    return Analysis(subject.name or source.name, subject.kind, subject.file, source.input_shape, devices)


def _analyze_device(source: Source, device: Device, settings: AnalyzeSettings, console: Console) -> DeviceAnalysis:
    clocks = Clocks(settings.pipeline, settings.pll, settings.clock_divider)
    try:
        network, placement, options = source.on(device)
    except Ai8xError as error:
        return DeviceAnalysis(device.name, *clocks.of(device), NONE, problem=str(error))
    with console.progress(f"{device.name}: searching for a placement", 1) as shown:
        return analyze_network(
            *(network, placement, device, options),
            clocks=clocks,
            seconds=settings.map_seconds,
            progress=lambda text: shown.advance(0, text),
        )


def _with_remedies(
    found: DeviceAnalysis, source: Source, device: Device, settings: AnalyzeSettings, console: Console
) -> DeviceAnalysis:
    """Return the analysis of a network that does not fit with the changes that would help."""
    if found.network is None:
        return found
    _, placement, options = source.on(device)
    with console.progress(f"{device.name}: does not fit, searching for changes that would help", 1):
        return with_remedies(found, placement, device, options, settings.map_seconds)


def _source(subject: Subject, settings: AnalyzeSettings, console: Console) -> Source:
    recipe = read_recipe(str(subject.file)) if subject.kind == RECIPE else None
    described = None if recipe is None else recipe.common.get("network")
    if subject.kind == DESCRIPTION:
        return DescribedNetwork(subject.file, None, settings, console)
    if described is not None:
        return DescribedNetwork(resources.find_config("networks", str(described)), recipe, settings, console)
    from ai8x_tool.subjects.model import AnalyzedModel  # noqa: PLC0415  (imports torch)

    return AnalyzedModel(subject, recipe, settings, console)
