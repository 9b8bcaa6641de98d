"""Automatic placement of networks without one, or with an incomplete one."""

from __future__ import annotations

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.mapper import MappingResult, UnmappableError, map_automatically, remedies
from ai8x_tool.mapping import MappingOptions

_WAYS = 18
"""Most input paths that are tried."""


def place_automatically(
    described: PlacedDescription,
    device: Device,
    options: MappingOptions,
    console: Console,
    seconds: float = 20.0,
    *,
    parallel: bool = False,
    moves: bool = False,
) -> tuple[PlacedDescription, MappingOptions]:
    """Return the network with a placement that keeps what is given, and the options that belong to it.

    With `parallel`, layers compute four outputs at once where they can. With `moves`, layers with weights of their own
    may be inserted to move data; a given placement is ignored then. Raises UnmappableError, which names the resource
    that is too small and the cheapest change that was found to help.
    """
    network, given = described.network, described.placement
    if given.snoop is not None or given.simulated is not None:
        raise Ai8xError("networks with conditional execution cannot be placed automatically", where=network.name)
    try:
        with console.progress("finding a placement", _WAYS) as bar:
            found = map_automatically(
                network,
                device,
                options,
                given=None if moves else given,
                parallel=parallel,
                moves=moves,
                seconds=seconds,
                progress=lambda text: bar.advance(1, text),
            )
    except UnmappableError as error:
        console.info("no placement was found; searching for changes that would help")
        helping = remedies(
            network, device, options, given=None if moves else given, shortage=error.shortage, seconds=seconds
        )
        for remedy in helping[1:]:
            console.info(f"this would also help: {remedy}")
        if not helping:
            raise
        message = f"no placement was found on the {device.name}: {error.shortage}"
        raise UnmappableError(message, error.shortage, where=network.name, fix=str(helping[0])) from None
    _report(found, device, console)
    return PlacedDescription(found.network, found.placement), found.options


def _report(found: MappingResult, device: Device, console: Console) -> None:
    copies = f"{len(found.copies)} cop{'y' if len(found.copies) == 1 else 'ies'}"
    least = " (the minimum for these processors)" if found.peak == found.peak_bound else ""
    size = f"{found.peak:,} of {device.instance_size:,} bytes of each data-memory instance{least}"
    console.info(f"placement found: {found.path.text}, {copies}, {size}, {found.cycles:,} cycles")
    if found.parallel:
        console.info(f"layers with calcx4, for which no measurements are available: {', '.join(found.parallel)}")
    for where in found.trailing:
        console.info(f"{where}: the output overwrites input of the layer that has already been read (--overlap-data)")
