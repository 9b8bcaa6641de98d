"""Interleaving of joined values in data memory, and the copies that it requires."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.mapper.classes import input_layout
from ai8x_tool.network.layer import Layer, Source
from ai8x_tool.network.network import Network, build_network
from ai8x_tool.network.sizes import passes


@dataclass(frozen=True)
class Interleaved:
    """A network in which every joined value has a single place: copies are inserted where it would need two.

    `gaps` is the number of words left free after each word of a value, by value; values without an entry have none.
    `names` maps the original names of layers to new ones if copies were inserted.
    """

    network: Network
    gaps: dict[Source, int]
    copies: tuple[str, ...]
    names: dict[str, str] = field(default_factory=dict)

    def read_gap(self, layer: Layer) -> int:
        """Return the gap with which `layer` must read its input."""
        return 0 if input_layout(self.network, layer).interleaved else self.gaps.get(layer.inputs[0], 0)


def interleave(
    network: Network, device: Device, streamed: frozenset[str] = frozenset(), *, early: bool = False
) -> Interleaved:
    """Return `network` with the few copies that its joined values require, each as late as possible.

    `streamed` are the layers whose output streams into the next layer and is not kept in data memory. With `early`,
    copies run as soon as no other layer reads the value: its live range then ends before that of the joined values
    begins, and both may use the same memory.
    """
    users = {source: network.readers(source) for source in _sources(network)}
    chosen: dict[Source, tuple[Source, ...]] = {}
    for source, readers in users.items():
        groups = [reader.inputs for reader in readers if input_layout(network, reader).interleaved]
        plain = [reader for reader in readers if not input_layout(network, reader).interleaved]
        if not groups or not isinstance(source, str) or source in streamed:
            continue
        # A copy for another group, or for another position in this one, also reads the value with its gaps.
        copied = len(set(groups)) > 1 or any(group.count(source) > 1 for group in groups)
        if copied and not (device.read_gap and passes(network[source].channels_out) == 1):
            continue
        if all(_reads_gaps(device, reader) for reader in plain):
            chosen[source] = Counter(groups).most_common(1)[0][0]
    copies: list[_Copy] = []
    for layer in network.layers:
        if not input_layout(network, layer).interleaved:
            continue
        seen: set[Source] = set()
        for position, source in enumerate(layer.inputs):
            if chosen.get(source) != layer.inputs or source in seen:
                before = _first_operand(network, layer, source, chosen) if early else layer.name
                copies.append(_Copy(layer.name, f"{layer.name}_operand{position}", position, before))
            seen.add(source)
    inserted = insert_copies(network, copies)
    gaps: dict[Source, int] = {}
    for layer in inserted.layers:
        joined = input_layout(inserted, layer)
        if joined.interleaved:
            gaps |= dict.fromkeys(layer.inputs, joined.gap)
    fresh = tuple(layer.name for layer in inserted.layers if layer.name not in distinct_names(network).values())
    return Interleaved(inserted, gaps, fresh if copies else (), distinct_names(network) if copies else {})


def _sources(network: Network) -> list[Source]:
    return list(dict.fromkeys(source for layer in network.layers for source in layer.inputs))


def _reads_gaps(device: Device, reader: Layer) -> bool:
    """Return whether a layer can read a value with gaps: as its only input, in one pass."""
    return device.read_gap and len(reader.inputs) == 1 and reader.operands == 1 and passes(reader.channels_in) == 1


class _Copy(NamedTuple):
    """A copy named `name` of the input at `position` of the layer `reader`, inserted before the layer `before`."""

    reader: str
    name: str
    position: int
    before: str


def _first_operand(network: Network, reader: Layer, source: Source, chosen: dict[Source, tuple[Source, ...]]) -> str:
    """Return the first layer that writes a value joined with `source` after all other readers of `source`.

    Without such a layer, `reader` itself.
    """
    others = [other.index for other in network.readers(source) if other is not reader]
    after = max([*others, network[source].index if isinstance(source, str) else -1])
    writers = [
        network[other]
        for other in reader.inputs
        if isinstance(other, str) and chosen.get(other) == reader.inputs and network[other].index > after
    ]
    return min(writers, key=lambda layer: layer.index, default=reader).name


def insert_copies(network: Network, copies: list[_Copy]) -> Network:
    """Return `network` with `copies` inserted."""
    if not copies:
        return network
    names = distinct_names(network)
    fresh = {
        (copy.reader, copy.position): _unused(copy.name.replace(copy.reader, names[copy.reader], 1), names)
        for copy in copies
    }
    layers: list[Layer] = []
    for layer in network.layers:
        for copy in copies:
            if copy.before == layer.name:
                reader = network[copy.reader]
                source = _renamed(reader.inputs[copy.position], names)
                layers.append(Layer(fresh[copy.reader, copy.position], (source,), "none", source=reader.source))
        inputs = [
            fresh.get((layer.name, position), _renamed(source, names)) for position, source in enumerate(layer.inputs)
        ]
        shares = None if layer.shares is None else names[layer.shares]
        layers.append(replace(layer, name=names[layer.name], inputs=tuple(inputs), shares=shares))
    return with_layers(network, layers)


def with_names(network: Network, names: dict[str, str]) -> Network:
    """Return the network with its layers renamed; `names` has an entry for every layer."""
    layers = [
        replace(
            layer,
            name=names[layer.name],
            inputs=tuple(_renamed(source, names) for source in layer.inputs),
            shares=None if layer.shares is None else names[layer.shares],
        )
        for layer in network.layers
    ]
    return with_layers(network, layers)


def _renamed(source: Source, names: dict[str, str]) -> Source:
    return names[source] if isinstance(source, str) else source


def distinct_names(network: Network) -> dict[str, str]:
    """Return for each layer a name that does not depend on its index."""
    taken = {layer.name.lower() for layer in network.layers if layer.is_named}
    names = {}
    for layer in network.layers:
        names[layer.name] = layer.name if layer.is_named else _unused(f"layer{layer.index}", taken)
    return names


def _unused(name: str, taken: dict[str, str] | set[str]) -> str:
    used = {entry.lower() for entry in (taken.values() if isinstance(taken, dict) else taken)}
    while name.lower() in used:
        name += "_"
    return name


def with_layers(network: Network, layers: list[Layer]) -> Network:
    """Return a network of `layers` in this order; all other properties are those of `network`."""
    numbered = [replace(layer, index=index) for index, layer in enumerate(layers)]
    return build_network(network.name, network.input_shape, numbered, buffer=network.buffer, has_bias=network.has_bias)
