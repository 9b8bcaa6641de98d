"""Whether a network fits a device: as it is placed, or in places that are found."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.analysis.figures import least_figures, placed_figures
from ai8x_tool.analysis.resources import needed_resources, used_resources
from ai8x_tool.analysis.result import DeviceAnalysis, Remedy
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper import map_automatically
from ai8x_tool.mapping.energy import estimate
from ai8x_tool.mapping.mapping import Mapping, map_network
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.device_rules import require_device
from ai8x_tool.network.network import Network

AS_DESCRIBED, FOUND, NONE = "as described", "found automatically", "none"


@dataclass(frozen=True)
class Clocks:
    """How the accelerator is clocked; None is what generated projects do."""

    pipeline: bool | None = None
    pll: bool | None = None
    divider: int | None = None

    def of(self, device: Device) -> tuple[float, bool]:
        """Return the clock of `device` during inference, in MHz, and whether it uses the pipeline."""
        pipeline = device.pipeline and self.pipeline is not False
        pll = device.pll_mhz if self.pll is not False else None
        divider = self.divider or device.default_divider(pipeline=pipeline, pll=pll is not None)
        return (pll or device.bus_mhz) / divider, pipeline


def analyze_network(
    network: Network,
    placement: Placement | None,
    device: Device,
    options: MappingOptions | None = None,
    *,
    clocks: Clocks | None = None,
    seconds: float = 20.0,
) -> DeviceAnalysis:
    """Return what there is to say about `network` on `device`.

    With a `placement` that is complete, the network is analyzed as it is placed; otherwise places are searched for at
    most `seconds`. A network that does not fit is a result, too.
    """
    options = options or MappingOptions()
    clock_mhz, pipeline = (clocks or Clocks()).of(device)
    blank = DeviceAnalysis(device.name, clock_mhz, pipeline, NONE, network)
    try:
        require_device(network, device)
        mapped = _mapped(network, placement, device, options, seconds, blank)
    except Ai8xError as error:
        return replace(
            blank,
            problem=str(error),
            remedies=_remedies(network, placement, device, options, seconds, blank),
            layers=least_figures(network, device, clock_mhz=clock_mhz, pipeline=pipeline),
            resources=needed_resources(network, device),
        )
    mapping = mapped.mapping
    assert mapping is not None
    return replace(
        mapped,
        network=mapping.network,
        estimate=estimate(mapping, clock_mhz=clock_mhz, pipeline=pipeline),
        layers=placed_figures(mapping, clock_mhz=clock_mhz, pipeline=pipeline),
        resources=used_resources(mapping),
    )


def require_fit(network: Network, device: Device, *, seconds: float = 20.0) -> None:
    """Raise Ai8xError, with remedies, if no places are found for `network` on `device` within `seconds`."""
    found = analyze_network(network, None, device, seconds=seconds)
    if found.problem is not None:
        fix = "; or ".join(remedy.text for remedy in found.remedies)
        raise Ai8xError(found.problem, fix=fix or None)


def _mapped(
    network: Network,
    placement: Placement | None,
    device: Device,
    options: MappingOptions,
    seconds: float,
    blank: DeviceAnalysis,
) -> DeviceAnalysis:
    """Return the analysis with a mapping. Raises Ai8xError for what stands in the way of one."""
    if placement is not None and not placement.missing():
        mapping = map_network(network, placement, device, options)
        return replace(blank, mapping=mapping, placement=AS_DESCRIBED, path=input_path(mapping))
    if placement is not None and (placement.snoop is not None or placement.simulated is not None):
        raise Ai8xError("conditional execution needs a placement of its own", where=network.name)
    chw = placement is not None and placement.chw
    found = map_automatically(network, device, options, chw=chw, seconds=seconds)
    mapping = map_network(found.network, found.placement, device, found.options)
    return replace(blank, mapping=mapping, placement=FOUND, path=found.path.text, copies=found.copies)


def input_path(mapping: Mapping) -> str:
    """Return how the input arrives."""
    layout = "CHW" if mapping.placement.chw else "HWC"
    streams = sum(layer.streaming for layer in mapping.layers)
    options = mapping.options
    if not (options.fifo or options.fast_fifo or options.quad):
        return f"{layout} input in data memory"
    return f"{layout} input through a FIFO, {streams} streaming layer{'s' * (streams != 1)}"


def _remedies(
    network: Network,
    placement: Placement | None,
    device: Device,
    options: MappingOptions,
    seconds: float,
    blank: DeviceAnalysis,
) -> tuple[Remedy, ...]:
    """Return changes with which the network fits."""
    if placement is None or placement.missing():
        return ()
    try:
        require_device(network, device)
        found = _mapped(network, None, device, options, seconds, blank)
    except Ai8xError:
        return ()
    assert found.mapping is not None
    took = estimate(found.mapping, clock_mhz=blank.clock_mhz, pipeline=blank.pipeline).inference.seconds
    return (Remedy("leave out the placement, so that one is found automatically", 1e6 * took),)
