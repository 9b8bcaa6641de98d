"""Removal of layers that only copy data: the mapper inserts its own copies."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.mapper.interleave import distinct_names, with_layers
from ai8x_tool.network.layer import Layer, Source
from ai8x_tool.network.network import Network


def is_copy(network: Network, layer: Layer) -> bool:
    """Return whether a layer only copies the output of another layer."""
    if layer.is_convolution or layer.eltwise or layer.output or len(layer.inputs) != 1:
        return False
    source = layer.inputs[0]
    if not isinstance(source, str) or layer.buffer_shift or layer.buffer_insert or any(layer.in_crop):
        return False
    before = network[source]
    return before.out_size == layer.in_size == layer.out_size and before.channels_out == layer.channels_out


def without_copies(network: Network) -> tuple[Network, dict[str, str]]:
    """Return the network without copies, and the new names of the remaining layers by their old names."""
    stands_for: dict[Source, Source] = {}
    kept: list[Layer] = []
    for name in network.evaluation_order():
        layer = network[name]
        if is_copy(network, layer):
            stands_for[name] = stands_for.get(layer.inputs[0], layer.inputs[0])
    if not stands_for:
        return network, {layer.name: layer.name for layer in network.layers}
    names = distinct_names(network)
    for layer in network.layers:
        if layer.name not in stands_for:
            inputs = [stands_for.get(source, source) for source in layer.inputs]
            renamed = tuple(names[source] if isinstance(source, str) else source for source in inputs)
            shares = None if layer.shares is None else names[layer.shares]
            kept.append(replace(layer, name=names[layer.name], inputs=renamed, shares=shares))
    return with_layers(network, kept), {old: new for old, new in names.items() if old not in stands_for}
