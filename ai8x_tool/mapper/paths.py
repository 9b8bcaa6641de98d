"""Input paths: the ways in which the input can reach the accelerator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import INPUT
from ai8x_tool.network.network import Network

_MOST_CHW = 16
_FIFO_HWC, _FIFO_CHW = 16, 4


@dataclass(frozen=True)
class InputPath:
    """The way of the input: pixel by pixel (HWC) or channel by channel (`chw`), in data memory or through a FIFO.

    `pattern` are the processors of the input's channels if these are not adjacent. The first `streams` layers run while
    the input arrives.
    """

    chw: bool = False
    fifo: bool = False
    streams: int = 0
    pattern: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """Description of the path for messages."""
        layout = "CHW" if self.chw else "HWC"
        if not self.fifo:
            return f"{layout} input in data memory"
        return f"{layout} input through a FIFO, {self.streams} streaming layer{'s' * (self.streams != 1)}"


def input_paths(
    network: Network,
    device: Device,
    options: MappingOptions | None,
    given: InputPath | None = None,
    *,
    chw: bool | None = None,
) -> Iterator[InputPath]:
    """Yield the possible paths of the network's input, those with fewer cycles first; only `given` if it is given.

    `chw` is whether the input is in CHW format; None allows both formats.
    """
    if given is not None:
        yield given
        return
    channels = network.input_shape[0]
    start = network.layers[0]
    alone = network.readers(INPUT) == [start] and start.inputs == (INPUT,) and start.operands == 1
    movable = alone and start.is_convolution and not start.depthwise
    if options is None or not options.fifo:
        if chw is not True:
            yield InputPath()
        if movable and channels <= _MOST_CHW and chw is not False:
            yield InputPath(chw=True, pattern=tuple(range(0, LANES * channels, LANES)))
    if not movable:
        return
    most = streaming_layers(network, device)
    for streams in range(1, most + 1):
        if channels <= _FIFO_HWC and chw is not True:
            yield InputPath(fifo=True, streams=streams, pattern=fifo_pattern(channels, chw=False))
        if channels <= _FIFO_CHW and chw is not False:
            yield InputPath(chw=True, fifo=True, streams=streams, pattern=fifo_pattern(channels, chw=True))


def fifo_pattern(channels: int, *, chw: bool) -> tuple[int, ...]:
    """Return the processors that FIFOs feed with `channels` channels."""
    if chw:
        return tuple(PROCESSORS_PER_QUADRANT * c for c in range(channels))
    return tuple(PROCESSORS_PER_QUADRANT * (c // LANES) + c % LANES for c in range(channels))


def streaming_layers(network: Network, device: Device) -> int:
    """Return the number of layers at the beginning of the network that can stream."""
    count = 0
    for number, layer in enumerate(network.layers[: device.streaming_layers]):
        expected = INPUT if number == 0 else network.layers[number - 1].name
        wrong = layer.inputs != (expected,) or layer.flatten or layer.operands > 1 or layer.output_width != 8
        if wrong or not (layer.is_convolution or device.streaming_passthrough):
            break
        if number and (network.layers[number - 1].output or len(network.readers(str(expected))) > 1):
            break
        count += 1
    return count
