"""Mapping candidates: the decisions made before processors and offsets are chosen, and the resulting placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory
from ai8x_tool.mapper.classes import ProcessorClass, processor_classes, value_width
from ai8x_tool.mapper.given import GivenPlacement
from ai8x_tool.mapper.interleave import Interleaved
from ai8x_tool.mapper.paths import InputPath
from ai8x_tool.mapper.starts import LiveRange
from ai8x_tool.mapping.placement import BufferPlacement, LayerPlacement, Placement
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network


@dataclass(frozen=True)
class Candidate:
    """A network with its copies, the processor classes of its values, the input path, and the given placement."""

    interleaved: Interleaved
    classes: tuple[ProcessorClass, ...]
    path: InputPath
    given: GivenPlacement

    @property
    def network(self) -> Network:
        """The network with its copies."""
        return self.interleaved.network

    def class_of(self, source: Source) -> int:
        """Return the number of the class to which a value belongs."""
        return next(i for i, each in enumerate(self.classes) if source in each.offsets)

    def fixed_starts(self) -> dict[int, int]:
        """Return the first processors of the classes for which they are given. Raises Ai8xError for contradictions."""
        fixed: dict[int, int] = {}
        if self.path.fifo:
            fixed[self.class_of(INPUT)] = 0
        for source, processors, joined, where in self.given.maps(self.network):
            number = self.class_of(source)
            start = (processors & -processors).bit_length() - 1 - self.classes[number].first_of(source)
            fits = start >= 0 and (joined or self.classes[number].map_of(self.network, source, start) == processors)
            if not fits or fixed.setdefault(number, start) != start:
                message = f"processors {processors:#018x} contradict those given for other layers that share the data"
                raise Ai8xError(message, where=where, fix="remove them here or from the layers that share the data")
        return fixed

    def placement(self, starts: Sequence[int], addresses: Mapping[Source, int]) -> Placement:
        """Return the placement with classes at `starts` and values at `addresses`, in words."""
        network, path = self.network, self.path
        layers = {}
        for number, layer in enumerate(network.layers):
            placement = LayerPlacement(
                processors=self._processors(starts, layer),
                output_processors=self._map(starts, layer.name),
                in_offset=4 * (addresses.get(layer.inputs[0], 0) + self.skipped(layer)),
                out_offset=4 * addresses.get(layer.name, 0),
                write_gap=self.interleaved.gaps.get(layer.name, 0),
                read_gap=self.interleaved.read_gap(layer),
                streaming=number < path.streams,
            )
            layers[layer.name] = self.given.extended(layer.name, placement)
        buffer = None
        if network.buffer is not None:
            buffer = BufferPlacement(self._map(starts, BUFFER), 4 * addresses.get(BUFFER, 0))
        return Placement(layers, tuple(layer.name for layer in network.layers), chw=path.chw, buffer=buffer)

    def skipped(self, layer: Layer) -> int:
        """Return the number of words of its first input that a layer skips before it begins to read."""
        gap = self.interleaved.gaps.get(layer.inputs[0], 0) + 1
        if layer.buffer_shift and self.network.buffer is not None:
            return layer.buffer_shift * self.network.buffer.size[1]
        rounds = -(-layer.channels_in // 64)
        return layer.in_crop[0] * layer.in_size[1] * rounds * gap

    def live_ranges(self, memory: Memory) -> dict[Source, list[LiveRange]]:
        """Return the live ranges of all values in data memory. Step 0 is before the first layer."""
        last = len(self.network.layers) + 1
        found: dict[Source, list[LiveRange]] = {}
        for group in memory.groups:
            for block in group.blocks:
                source: Source = block.owner  # type: ignore[assignment]
                each = self.classes[self.class_of(source)]
                first, width = each.first_of(source), value_width(self.network, source)
                positions = each.pattern or tuple(range(first, first + width))
                words = (block.last - block.first + 1) // (self.interleaved.gaps.get(source, 0) + 1)
                live_range = LiveRange(positions, words, block.born + 1, min(block.dies + 2, last))
                found.setdefault(source, []).append(live_range)
        return found

    def _map(self, starts: Sequence[int], source: Source) -> int:
        number = self.class_of(source)
        return self.classes[number].map_of(self.network, source, starts[number])

    def _processors(self, starts: Sequence[int], layer: Layer) -> int:
        number = self.class_of(layer.inputs[0])
        positions = self.classes[number].positions(layer)
        return sum(1 << starts[number] + position for position in positions)


def build_candidate(interleaved: Interleaved, path: InputPath, given: GivenPlacement) -> Candidate:
    """Return the candidate of a network. Raises Ai8xError if a value would have to be in two places at once."""
    network = interleaved.network
    classes = processor_classes(network)
    if path.pattern:
        classes = [_patterned(network, each, path) for each in classes]
    return Candidate(interleaved, tuple(classes), path, given)


def _patterned(network: Network, each: ProcessorClass, path: InputPath) -> ProcessorClass:
    if INPUT not in each.offsets:
        return each
    alike = all(
        offset == 0 and value_width(network, source) == len(path.pattern) for source, offset in each.offsets.items()
    )
    if not alike:
        message = f"{path.text}: other values would have to share the processors of the input"
        raise Ai8xError(message, where=network.name)
    return replace(each, extent=path.pattern[-1] + 1, pattern=path.pattern)
