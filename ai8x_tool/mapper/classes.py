"""Processor classes: values whose processors are in a fixed relation, because a layer reads or keeps them together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from ai8x_tool.device.facts import PROCESSORS
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes, processors_per_pass


class UnjoinableInputsError(Ai8xError):
    """The inputs of a layer cannot be read together without being moved."""


class ConflictingPlacesError(Ai8xError):
    """The input `position` of the layer named `reader` would have to be in two places at once."""

    def __init__(self, layer: Layer, position: int) -> None:
        super().__init__("an input of the layer would have to be in two places at once", where=layer.where)
        self.reader, self.position = layer.name, position


class WideClassError(Ai8xError):
    """The values of a class, `sources`, need more processors than the device has."""

    def __init__(self, network: Network, sources: Iterable[Source], extent: int) -> None:
        text = f"values that are read together need {extent} processors, there are {PROCESSORS}"
        super().__init__(text, where=network.name)
        self.sources = frozenset(sources)


class WeightedUnionFind:
    """Weighted union-find: each member has a fixed distance from the representative of its class."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, tuple[Hashable, int]] = {}

    def find(self, member: Hashable) -> tuple[Hashable, int]:
        """Return the representative of the member's class and the member's distance from it."""
        parent, distance = self._parent.setdefault(member, (member, 0))
        if parent == member:
            return member, 0
        root, further = self.find(parent)
        self._parent[member] = (root, distance + further)
        return root, distance + further

    def join(self, one: Hashable, other: Hashable, distance: int) -> bool:
        """Place `other` at `distance` after `one`; return False if that contradicts earlier distances."""
        first, first_distance = self.find(one)
        second, second_distance = self.find(other)
        if first == second:
            return second_distance - first_distance == distance
        self._parent[second] = (first, first_distance + distance - second_distance)
        return True

    def members(self) -> dict[Hashable, dict[Hashable, int]]:
        """Return all classes by representative, with each member's distance from the first member."""
        found: dict[Hashable, dict[Hashable, int]] = {}
        for member in list(self._parent):
            root, distance = self.find(member)
            found.setdefault(root, {})[member] = distance
        return {root: {m: d - min(group.values()) for m, d in group.items()} for root, group in found.items()}


def value_channels(network: Network, source: Source) -> int:
    """Return the number of channels of a value, per operand for the network's input."""
    if source is INPUT:
        start = next(layer for layer in network.layers if INPUT in layer.inputs)
        return network.input_shape[0] // (start.operands if start.inputs == (INPUT,) else 1)
    if source is BUFFER:
        return network.buffer.channels if network.buffer is not None else 0
    return network[str(source)].channels_out


def value_width(network: Network, source: Source) -> int:
    """Return the number of processors that hold a value."""
    return processors_per_pass(value_channels(network, source))


@dataclass(frozen=True)
class ProcessorClass:
    """Values whose processor maps are in a fixed relation.

    `offsets` are the distances of their first processors from the first processor of the class.
    `extent` is the number of processors from the first to the last one. `pattern` are the positions of an input's
    channels that are not adjacent; it is empty for other classes.
    """

    offsets: dict[Source, int]
    extent: int
    pattern: tuple[int, ...] = ()

    def map_of(self, network: Network, source: Source, start: int) -> int:
        """Return the processor map of a value if the class starts at processor `start`."""
        if self.pattern:
            return sum(1 << start + position for position in self.pattern)
        return (1 << value_width(network, source)) - 1 << start + self.offsets[source]

    def first_of(self, source: Source) -> int:
        """Return the distance of a value's first processor from the class's start."""
        return self.pattern[0] if self.pattern else self.offsets[source]

    def positions(self, layer: Layer) -> tuple[int, ...]:
        """Return the processors of a layer that reads values of the class, counted from the class's start."""
        if self.pattern:
            return self.pattern
        first = min(self.offsets[source] for source in layer.inputs)
        return tuple(range(first, first + processors_per_pass(layer.channels_in)))


@dataclass(frozen=True)
class InputLayout:
    """Layout of a layer's inputs relative to each other: for each input, its distance in processors and in words.

    `gap` is the number of words left free after each word of an input for the others.
    """

    processors: tuple[int, ...] = (0,)
    words: tuple[int, ...] = (0,)
    gap: int = 0
    interleaved: bool = False


def input_layout(network: Network, layer: Layer) -> InputLayout:
    """Return the layout that `layer` requires of its inputs.

    Raises Ai8xError if the accelerator cannot read them together.
    """
    count = len(layer.inputs)
    if count == 1:
        return InputLayout()
    if layer.eltwise and count == layer.operands:
        return InputLayout((0,) * count, tuple(range(count)), count - 1, interleaved=True)
    channels = [value_channels(network, source) for source in layer.inputs]
    sizes = [_size(network, source) for source in layer.inputs]
    if len(set(sizes)) > 1:
        before = [sum(h * w for h, w in sizes[:i]) * passes(channels[0]) for i in range(count)]
        return InputLayout((0,) * count, tuple(before))
    if layer.eltwise:
        raise Ai8xError("operands that are concatenated from several values cannot be placed", where=layer.where)
    return _side_by_side(layer, channels) if sum(channels) <= PROCESSORS else _by_passes(layer, channels)


def _size(network: Network, source: Source) -> tuple[int, int]:
    if source is INPUT:
        return network.input_shape[1], network.input_shape[2]
    if source is BUFFER:
        assert network.buffer is not None
        return network.buffer.size
    return network[str(source)].out_size


def _side_by_side(layer: Layer, channels: list[int]) -> InputLayout:
    if any(count % LANES for count in channels[:-1]):
        raise UnjoinableInputsError(
            f"all but the last of several joined values must have a multiple of 4 channels, not {channels}",
            where=layer.where,
        )
    before = tuple(sum(channels[:i]) for i in range(len(channels)))
    return InputLayout(before, (0,) * len(channels))


def _by_passes(layer: Layer, channels: list[int]) -> InputLayout:
    """Return the layout of values with more than 64 channels in total: each is a pass, or an equal part of a pass."""
    total, rounds = sum(channels), passes(sum(channels))
    width = processors_per_pass(total)
    first = 0
    places, words = [], []
    for count in channels:
        slot, lane = divmod(first, width)
        if lane + count > width or lane % LANES or passes(count) > 1:
            raise UnjoinableInputsError(
                f"{' + '.join(map(str, channels))} channels cannot be joined: {rounds} passes of {width} processors "
                f"would split a value",
                where=layer.where,
                fix="use channel counts that fill whole passes",
            )
        places.append(lane)
        words.append(slot)
        first += count
    return InputLayout(tuple(places), tuple(words), rounds - 1, interleaved=True)


def processor_classes(network: Network) -> list[ProcessorClass]:
    """Return the classes of all values. Raises Ai8xError if a value would have to be in two places at once."""
    related = WeightedUnionFind()
    related.find(INPUT)
    for layer in network.layers:
        places = input_layout(network, layer).processors
        first = layer.inputs[0]
        for position, (source, distance) in enumerate(zip(layer.inputs, places, strict=True)):
            if not related.join(first, source, distance - places[0]):
                raise ConflictingPlacesError(layer, position)
        related.find(layer.name)
        if layer.buffer_insert and not related.join(BUFFER, layer.name, 0):
            message = "the layer cannot write to the rolling buffer: its output would have to be in two places at once"
            raise Ai8xError(message, where=layer.where)
        if keeps_processors(layer) and not related.join(first, layer.name, -places[0]):
            raise ConflictingPlacesError(layer, 0)
    classes = []
    for group in related.members().values():
        offsets = {source: offset for source, offset in group.items() if isinstance(source, str | type(INPUT))}
        extent = max(offset + value_width(network, source) for source, offset in offsets.items())
        if extent > PROCESSORS:
            raise WideClassError(network, offsets, extent)
        classes.append(ProcessorClass(offsets, extent))
    return classes


def keeps_processors(layer: Layer) -> bool:
    """Return whether the processors of a layer's output are those of its input."""
    return not layer.is_convolution or layer.depthwise
