"""How few cycles any placement of a network can take."""

from __future__ import annotations

from ai8x_tool.device import Device
from ai8x_tool.mapping.cycles import START_UP_CYCLES, minimum_cycles
from ai8x_tool.mapping.hardware import hardware_view
from ai8x_tool.network.network import Network


def fewest_cycles(network: Network, device: Device, streams: int = 0) -> int:
    """Return a lower bound of the estimated cycles of `network` over all placements, those with copies included.

    `streams` are the layers that must stream, which takes them half as long again. A layer that streams, or follows one
    that does, never takes fewer cycles than otherwise, so that 0 is a bound for every way of the input.
    """
    cycles = START_UP_CYCLES
    for number, layer in enumerate(network.layers):
        streaming, follows = number < streams, 0 < number <= streams
        view = hardware_view(layer, device, streaming=streaming, follows_streaming=follows)
        least = minimum_cycles(layer, view, pipeline=False)
        cycles += (15 * least + 9) // 10 if streaming else least
    return cycles
