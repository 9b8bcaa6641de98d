"""Placed networks, the basis of rules, memory images and registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from ai8x_tool.device.facts import QUADRANTS, Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.hardware import HardwareView, hardware_view
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import LayerPlacement, Placement
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network

_ALL = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """A layer with its placement; `view` is the layer as the hardware executes it.

    `own_processors` are those of the description; `processors` repeats them in all quadrants in quad mode. `previous`
    and `next` are the indices of the layers executed before and after, None at the ends. `chw` is True for the layer
    executed first if its input is stored channel by channel.
    """

    layer: Layer
    view: HardwareView
    own_processors: int
    processors: int
    output_map: int
    input_offset: int
    out_offset: int
    write_gap: int
    read_gap: int
    bias_groups: tuple[int, ...] | None
    streaming: bool
    readahead: bool
    calcx4: bool
    chw: bool
    previous: int | None
    next: int | None
    snoop_target: int | None

    @property
    def where(self) -> str:
        """Place of definition and designation of the layer, for messages."""
        return self.layer.where

    @property
    def broadcast(self) -> bool:
        """True for a depthwise layer whose output processors are its input processors."""
        return self.layer.depthwise and self.processors == self.output_map


@dataclass(frozen=True, eq=False)
class PlacedNetwork:
    """A network, its placement, and the placed layers, by index."""

    network: Network
    placement: Placement
    device: Device
    options: MappingOptions
    layers: tuple[PlacedLayer, ...]

    def __getitem__(self, key: int | str) -> PlacedLayer:
        index = self.network[key].index if isinstance(key, str) else key
        return self.layers[index - self.network.first]

    @property
    def start(self) -> PlacedLayer:
        """The layer executed first."""
        return self[self.placement.start]

    @property
    def final(self) -> PlacedLayer:
        """The layer executed last."""
        return self[self.placement.final]

    def executed(self) -> list[PlacedLayer]:
        """Return the layers in the order of execution."""
        return [self[name] for name in self.placement.order]

    @cached_property
    def hidden(self) -> tuple[int, ...]:
        """Number of hidden layers up to each layer, in the order of the layers."""
        return tuple(accumulate(int(self.resets_accumulator(at)) for at in self.layers))

    def resets_accumulator(self, placed: PlacedLayer) -> bool:
        """Return whether the device needs a hidden layer before `placed` that clears the pooling accumulator."""
        follows = placed.previous is not None and self[placed.previous].layer.operands > 1
        return self.device.next_layer and placed.layer.index > 0 and placed.layer.pool_average and follows


def place(network: Network, placement: Placement, device: Device, options: MappingOptions) -> PlacedNetwork:
    """Return `network` with the places of `placement`.

    Raises Ai8xError for an incomplete placement, for an order that does not name every layer once, and for dilations
    that the device cannot execute.
    """
    _check_order(network, placement)
    missing = placement.missing()
    if missing:
        fix = "set processors and offsets, or leave all out"
        raise Ai8xError("the layer is not placed", where=network[missing[0]].where, fix=fix)
    indices = [network[name].index for name in placement.order]
    before = dict(zip(indices, [None, *indices[:-1]], strict=True))
    after = dict(zip(indices, [*indices[1:], None], strict=True))
    layers = []
    for layer in network.layers:
        previous = before[layer.index]
        follows = previous is not None and placement.layers[network[previous].name].streaming
        given = placement.layers[layer.name]
        view = hardware_view(layer, device, streaming=given.streaming, follows_streaming=follows)
        target = None if given.snoop_target is None else network[given.snoop_target].index
        layers.append(_placed(layer, view, given, placement, options, (previous, after[layer.index], target)))
    return PlacedNetwork(network, placement, device, options, tuple(layers))


def _check_order(network: Network, placement: Placement) -> None:
    names = [layer.name for layer in network.layers]
    if sorted(placement.order) == sorted(names):
        return
    strange = [name for name in placement.order if name not in names]
    absent = [name for name in names if name not in placement.order]
    problem = (
        f"no layer {strange[0]!r}" if strange else f"{absent[0]!r} is left out" if absent else "a layer runs twice"
    )
    raise Ai8xError(f"the order of execution must name every layer once: {problem}", where=network.name)


def _placed(
    layer: Layer,
    view: HardwareView,
    given: LayerPlacement,
    placement: Placement,
    options: MappingOptions,
    linked: tuple[int | None, int | None, int | None],
) -> PlacedLayer:
    previous, following, target = linked
    is_start = layer.name == placement.start
    own = given.processors or 0
    repeated = sum(own << 16 * q for q in range(QUADRANTS)) & _ALL if options.quad and is_start else own
    return PlacedLayer(
        layer=layer,
        view=view,
        own_processors=own,
        processors=repeated,
        output_map=given.output_processors or 0,
        input_offset=given.in_offset or 0,
        out_offset=given.out_offset or 0,
        write_gap=given.write_gap,
        read_gap=given.read_gap,
        bias_groups=given.bias_groups,
        streaming=given.streaming,
        readahead=given.readahead,
        calcx4=given.calcx4,
        chw=placement.chw and is_start,
        previous=previous,
        next=following,
        snoop_target=target,
    )
