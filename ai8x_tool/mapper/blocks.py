"""Blocks of data memory: their sizes, their live ranges, and the fixed distances between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.mapper.classes import WeightedUnionFind, input_layout
from ai8x_tool.mapper.interleave import Interleaved
from ai8x_tool.mapper.offsets import Block, Group
from ai8x_tool.mapper.paths import InputPath
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.streaming import rollover
from ai8x_tool.mapping.words import instances_of
from ai8x_tool.network.layer import BUFFER, INPUT, Source
from ai8x_tool.network.network import Network

_END = 1 << 20
"""A step after the last layer: blocks that live until the end of the inference."""
_MARGIN = 2
"""Words between a rolling buffer and its neighbors."""


@dataclass(frozen=True)
class Memory:
    """Groups of blocks, and for each value its group and the distance of its first word from the group's place."""

    groups: tuple[Group, ...]
    values: dict[Source, tuple[str, int]]

    def address(self, places: dict[str, int], source: Source) -> int:
        """Return the first word of a value."""
        group, distance = self.values[source]
        return places[group] + distance


def memory_blocks(placed: PlacedNetwork, interleaved: Interleaved, path: InputPath) -> Memory:
    """Return the blocks that data memory must hold. Of `placed`, processor maps are used, but not offsets."""
    network = placed.network
    related = _related(network)
    blocks: dict[Source, list[Block]] = {}
    when = {layer.name: max(number, path.streams - 1) for number, layer in enumerate(network.layers)}
    if not path.streams:
        blocks[INPUT] = [_input_block(placed, when)]
    else:
        blocks[INPUT] = [_ring_block(placed, placed.layers[0], when, 0)]
    if network.buffer is not None and placed.placement.buffer is not None:
        count = network.buffer.size[0] * network.buffer.size[1]
        mask = instances_of(placed.placement.buffer.processors)
        blocks[BUFFER] = [Block(mask, 0, count - 1, -1, _END)]
    for number, at in enumerate(placed.layers):
        if number + 1 < path.streams:
            blocks[at.layer.name] = [_ring_block(placed, placed.layers[number + 1], when, rollover(at, placed))]
        else:
            streamed = rollover(at, placed) if path.streams and number + 1 == path.streams else 0
            blocks[at.layer.name] = _output_blocks(placed, at, interleaved, when, streamed)
    return _grouped(related, blocks)


def _related(network: Network) -> WeightedUnionFind:
    related = WeightedUnionFind()
    for layer in network.layers:
        words = input_layout(network, layer).words
        for source, distance in zip(layer.inputs, words, strict=True):
            related.join(layer.inputs[0], source, distance - words[0])
        related.find(layer.name)
        if layer.buffer_shift:
            related.join(BUFFER, layer.name, 0)
        if layer.buffer_insert and network.buffer is not None:
            length, width = network.buffer.size
            related.join(BUFFER, layer.name, (length - layer.buffer_insert) * width)
    related.find(INPUT)
    return related


def _grouped(related: WeightedUnionFind, blocks: dict[Source, list[Block]]) -> Memory:
    groups, values = [], {}
    for number, members in enumerate(related.members().values()):
        name = f"group{number}"
        own = []
        for source, distance in members.items():
            if source not in blocks:
                continue
            values[source] = (name, distance)
            for block in blocks[source]:
                first, last = block.first + distance, block.last + distance
                own.append(replace(block, first=first, last=last, owner=source, origin=distance))
        if own:
            groups.append(Group(name, tuple(own)))
    return Memory(tuple(groups), values)


def _input_block(placed: PlacedNetwork, when: dict[str, int]) -> Block:
    start = placed.start
    rows, columns = start.layer.in_size
    pixels = rows * columns + sum(start.layer.in_crop) * columns
    words = -(-pixels // 4) if start.chw else pixels * start.view.input_passes * start.layer.operands
    readers = [when[layer.name] for layer in placed.network.readers(INPUT)]
    return Block(instances_of(start.own_processors), 0, words - 1, -1, max(readers, default=0))


def _ring_block(placed: PlacedNetwork, reader: PlacedLayer, when: dict[str, int], least: int) -> Block:
    length = max(rollover(reader, placed), least) + _MARGIN
    step = when[reader.layer.name]
    return Block(instances_of(reader.processors), 0, length - 1, step, step)


def _output_blocks(
    placed: PlacedNetwork, at: PlacedLayer, interleaved: Interleaved, when: dict[str, int], streamed: int
) -> list[Block]:
    layer, view = at.layer, at.view
    gap = interleaved.gaps.get(layer.name, 0)
    step = layer.output_width // 8 * (gap + 1)
    pixels, rounds = layer.out_size[0] * layer.out_size[1], view.output_passes
    born = when[layer.name]
    readers = [when[reader.name] for reader in placed.network.readers(layer.name)]
    dies = _END if layer.output else max(readers, default=born)
    mask = instances_of(at.output_map)
    last = (pixels * rounds - 1) * step + (3 if layer.output_width != 8 else 0)
    result = [Block(mask, 0, last, born, dies)]
    skipped = view.skipped_bytes // 4
    written = ((pixels + view.extra_words) * rounds - 1) * step - skipped
    if skipped:
        result.append(Block(mask, -skipped, -1, born, born))
    if written > last:
        result.append(Block(mask, last + 1, written, born, born))
    if streamed:
        result.append(Block(mask, 0, max(last, streamed) + _MARGIN, born, born))
    return result
