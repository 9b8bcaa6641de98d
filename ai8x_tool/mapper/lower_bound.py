"""Lower bound of the cycles of any placement of a network."""

from __future__ import annotations

from ai8x_tool.device import Device
from ai8x_tool.mapping.cycles import START_UP_CYCLES, minimum_cycles
from ai8x_tool.mapping.hardware import hardware_view
from ai8x_tool.network.network import Network


def cycle_lower_bound(network: Network, device: Device, streams: int = 0) -> int:
    """Return a lower bound of the estimated cycles of `network` over all placements, including those with copies.

    `streams` is the number of layers that must stream, which takes them half as long again. A layer that streams, or
    follows one that does, never takes fewer cycles than otherwise; hence 0 gives a bound for every input path.
    """
    cycles = START_UP_CYCLES
    for number, layer in enumerate(network.layers):
        streaming, follows = number < streams, 0 < number <= streams
        view = hardware_view(layer, device, streaming=streaming, follows_streaming=follows)
        least = minimum_cycles(layer, view, pipeline=False)
        cycles += (15 * least + 9) // 10 if streaming else least
    return cycles
