"""Reordering of independent layers so that fewer values live at the same time."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.mapper.classes import value_channels, value_width
from ai8x_tool.mapper.interleave import with_layers
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes

_BEAM = 64
"""Beam width: prefixes of orders kept at each step."""


class _Prefix(NamedTuple):
    """The first layers of an order: peak of the live words, live words at its end, and the names of the layers."""

    peak: int
    alive: int
    order: tuple[str, ...]


def with_lower_peak(network: Network) -> Network | None:
    """Return the network with its layers in an order that needs less data memory; None if none was found.

    The demand is counted in words of all instances. Each layer follows those that it reads; layers that share weights
    keep their order.
    """
    words = _Words(network)
    given = tuple(layer.name for layer in network.layers)
    found = _best_order(network, words)
    if words.peak(found) >= words.peak(given):
        return None
    return with_layers(network, [network[name] for name in found])


class _Words:
    """The words that values occupy, and the layers that still read them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.words = {layer.name: self._of(layer.name, layer.out_size) for layer in network.layers}
        self.input = self._of(INPUT, network.input_shape[1:])
        sources: list[Source] = [INPUT, *self.words]
        self.readers = {source: frozenset(layer.name for layer in network.readers(source)) for source in sources}
        self.needs = {layer.name: self._needed(layer) for layer in network.layers}

    def _needed(self, layer: Layer) -> frozenset[str]:
        """Return the layers that must precede `layer`; layers that share weights keep their order."""
        listed_before = self.network.layers[: layer.index - self.network.first]
        sharing = [other.name for other in listed_before if (other.shares or other.name) == layer.shares]
        return frozenset([source for source in layer.inputs if isinstance(source, str)] + sharing)

    def _of(self, source: Source, size: tuple[int, int]) -> int:
        instances = -(-value_width(self.network, source) // LANES)
        return instances * passes(value_channels(self.network, source)) * size[0] * size[1]

    def after(self, prefix: _Prefix, name: str) -> _Prefix:
        """Return the prefix with one more layer."""
        alive = prefix.alive + self.words[name]
        done = {*prefix.order, name}
        freed = 0
        for source in dict.fromkeys(self.network[name].inputs):
            if source is BUFFER or not self.readers[source] <= done:
                continue
            if source is INPUT:
                freed += self.input
            elif not self.network[source].output:  # type: ignore[index]
                freed += self.words[str(source)]
        return _Prefix(max(prefix.peak, alive), alive - freed, (*prefix.order, name))

    def peak(self, order: tuple[str, ...]) -> int:
        """Return the largest number of words that live at the same time in an order."""
        prefix = self.start()
        for name in order:
            prefix = self.after(prefix, name)
        return prefix.peak

    def start(self) -> _Prefix:
        """Return the empty prefix."""
        return _Prefix(self.input, self.input, ())


def _best_order(network: Network, words: _Words) -> tuple[str, ...]:
    """Return the order with the lowest peak that a beam search finds."""
    places = {layer.name: number for number, layer in enumerate(network.layers)}
    beam = [words.start()]
    for _ in network.layers:
        found: dict[frozenset[str], _Prefix] = {}
        for prefix in beam:
            done = frozenset(prefix.order)
            for name in places:
                if name in done or not words.needs[name] <= done:
                    continue
                longer = words.after(prefix, name)
                known = found.get(done | {name})
                if known is None or _rank(longer, places) < _rank(known, places):
                    found[done | {name}] = longer
        beam = sorted(found.values(), key=lambda prefix: _rank(prefix, places))[:_BEAM]
    return beam[0].order


def _rank(prefix: _Prefix, places: dict[str, int]) -> tuple[int, int, list[int]]:
    return prefix.peak, prefix.alive, [places[name] for name in prefix.order]
