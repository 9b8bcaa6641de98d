"""Networks without what the mapper has to find: placements, and layers that only copy."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.network.network import build_network


def is_copy(network, layer):
    """Return whether a layer passes another one's output on as it is."""
    if layer.is_convolution or layer.eltwise or layer.output or len(layer.inputs) != 1:
        return False
    source = layer.inputs[0]
    same = isinstance(source, str) and network[source].out_size == layer.in_size == layer.out_size
    return same and not (layer.buffer_shift or layer.buffer_insert or any(layer.in_crop))


def without_copies(network):
    """Return the network without copies, and the names of the layers that are left, by their old names."""
    stands_for, kept = {}, []
    for layer in network.layers:
        inputs = tuple(stands_for.get(source, source) for source in layer.inputs)
        if is_copy(network, layer):
            stands_for[layer.name] = inputs[0]
        else:
            kept.append(replace(layer, inputs=inputs))
    names = {layer.name: layer.name if layer.is_named else f"layer{layer.index}" for layer in kept}
    layers = [
        replace(
            layer,
            name=names[layer.name],
            inputs=tuple(names.get(source, source) for source in layer.inputs),
            shares=None if layer.shares is None else names[layer.shares],
            index=index,
        )
        for index, layer in enumerate(kept)
    ]
    built = build_network(network.name, network.input_shape, layers, buffer=network.buffer, has_bias=network.has_bias)
    return built, names
