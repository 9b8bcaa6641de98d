"""Analysis of a network on one device, with its own or an automatic placement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ai8x_tool.analysis.buffers import short_label
from ai8x_tool.analysis.layer_metrics import minimum_metrics, placed_metrics
from ai8x_tool.analysis.resources import needed_resources, used_resources
from ai8x_tool.analysis.result import DeviceAnalysis
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper import Shortage, UnmappableError, map_automatically, remedies
from ai8x_tool.mapping.energy import estimate
from ai8x_tool.mapping.mapping import Mapping, map_network
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.device_rules import require_device
from ai8x_tool.network.network import Network

AS_DESCRIBED, FOUND, GIVEN, NONE = "as described", "found automatically", "that of the program", "none"


Progress = Callable[[str], None]


@dataclass(frozen=True)
class Clocks:
    """Clock settings of the accelerator; None means the default of generated projects."""

    pipeline: bool | None = None
    pll: bool | None = None
    divider: int | None = None

    def of(self, device: Device) -> tuple[float, bool]:
        """Return the clock of `device` during inference, in MHz, and whether it uses the pipeline."""
        return device.inference_clock(pipeline=self.pipeline, pll=self.pll, divider=self.divider)


def analyze_network(
    network: Network,
    placement: Placement | None,
    device: Device,
    options: MappingOptions | None = None,
    *,
    clocks: Clocks | None = None,
    seconds: float = 20.0,
    progress: Progress = lambda text: None,
) -> DeviceAnalysis:
    """Return the analysis of `network` on `device`, without remedies (see :func:`with_remedies`).

    A complete `placement` is analyzed as it is; otherwise, what is missing is searched for during at most `seconds`,
    and `progress` is called with the name of each attempt. A network that does not fit is a result, not an exception.
    """
    options = options or MappingOptions()
    clock_mhz, pipeline = (clocks or Clocks()).of(device)
    blank = DeviceAnalysis(device.name, clock_mhz, pipeline, NONE, network)
    try:
        require_device(network, device)
        mapped = _mapped(blank, network, placement, device, options, seconds, progress)
    except Ai8xError as error:
        shortage = error.shortage if isinstance(error, UnmappableError) else None
        return replace(
            blank,
            problem=str(error) if shortage is None else f"no placement was found: {shortage}",
            shortage=shortage,
            layers=minimum_metrics(network, device, clock_mhz=clock_mhz, pipeline=pipeline),
            resources=needed_resources(network, device),
        )
    assert mapped.mapping is not None
    return with_metrics(mapped, mapped.mapping)


def analyze_mapping(mapping: Mapping, *, clock_mhz: float, pipeline: bool) -> DeviceAnalysis:
    """Return the analysis of a mapped network; `clock_mhz` is the accelerator's clock."""
    device = mapping.device.name
    return with_metrics(DeviceAnalysis(device, clock_mhz, pipeline, GIVEN, path=input_path(mapping)), mapping)


def with_metrics(found: DeviceAnalysis, mapping: Mapping) -> DeviceAnalysis:
    """Return the analysis `found` with the metrics of a mapping."""
    clock_mhz, pipeline = found.clock_mhz, found.pipeline
    return replace(
        found,
        network=mapping.network,
        mapping=mapping,
        estimate=estimate(mapping, clock_mhz=clock_mhz, pipeline=pipeline),
        layers=placed_metrics(mapping, clock_mhz=clock_mhz, pipeline=pipeline),
        resources=used_resources(mapping),
    )


def require_fit(network: Network, device: Device, console: Console, *, fix: str, seconds: float = 20.0) -> None:
    """Raise Ai8xError, with the cheapest remedy and `fix`, if `network` cannot fit `device`.

    The searches for a placement and for remedies end after `seconds` each. If no placement was found although no
    memory is known to be too small, a warning is shown instead.
    """
    try:
        require_device(network, device)
        map_automatically(network, device, moves=True, first=True, seconds=seconds)
    except Ai8xError as error:
        if isinstance(error, UnmappableError) and error.shortage.excess <= 1:
            console.warn(f"could not determine whether the model fits: {error}")
            return
        shortage = error.shortage if isinstance(error, UnmappableError) else Shortage("structure", str(error))
        found = remedies(network, device, shortage=shortage, seconds=seconds)
        ways = [error.fix, *map(str, found[:1]), fix]
        text = "; or ".join(way for way in ways if way)
        raise Ai8xError(error.message, where=error.where, fix=text, code=error.code) from None


def _mapped(
    blank: DeviceAnalysis,
    network: Network,
    placement: Placement | None,
    device: Device,
    options: MappingOptions,
    seconds: float,
    progress: Progress,
) -> DeviceAnalysis:
    """Return the analysis with a mapping. Raises Ai8xError with the reason if there is none."""
    if placement is not None and not placement.missing():
        mapping = map_network(network, placement, device, options)
        return replace(blank, mapping=mapping, placement=AS_DESCRIBED, path=input_path(mapping))
    if placement is not None and (placement.snoop is not None or placement.simulated is not None):
        raise Ai8xError("networks with conditional execution cannot be placed automatically", where=network.name)
    moves = placement is None  # a description's checkpoint has no weights for further layers
    found = map_automatically(
        network, device, options, given=placement, moves=moves, seconds=seconds, progress=progress
    )
    mapping = map_network(found.network, found.placement, device, found.options)
    overlaps = tuple(short_label(layer) for layer in found.network.layers if layer.where in found.trailing)
    return replace(
        blank, mapping=mapping, placement=FOUND, path=found.path.text, copies=found.copies, overlaps=overlaps
    )


def with_remedies(
    found: DeviceAnalysis, placement: Placement | None, device: Device, options: MappingOptions, seconds: float
) -> DeviceAnalysis:
    """Return the analysis of a network that does not fit with the changes that would help, the cheapest first.

    If the given placement is the problem, only changes of the placement are listed. The search ends after `seconds`.
    """
    network = found.network
    conditional = placement is not None and (placement.snoop is not None or placement.simulated is not None)
    if network is None or found.fits or conditional:
        return found
    shortage = found.shortage or Shortage("structure", str(found.problem))
    helping = remedies(network, device, options, given=placement, shortage=shortage, seconds=seconds)
    placing = tuple(remedy for remedy in helping if remedy.kind in ("placement", "input"))
    return replace(found, remedies=placing or helping)


def input_path(mapping: Mapping) -> str:
    """Return a text that names the layout of the input and how it reaches the accelerator."""
    layout = "CHW" if mapping.placement.chw else "HWC"
    streams = sum(layer.streaming for layer in mapping.layers)
    options = mapping.options
    if not (options.fifo or options.fast_fifo or options.quad):
        return f"{layout} input in data memory"
    return f"{layout} input through a FIFO, {streams} streaming layer{'s' * (streams != 1)}"
