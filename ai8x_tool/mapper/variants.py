"""Smaller variants of a network, whose weights must be trained again."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.network.layer import INPUT, Layer
from ai8x_tool.network.network import Network, build_network

_GRANULE = 4
"""Channels per data-memory word."""


def without_weights(layer: Layer) -> Layer:
    """Return the layer without its weights; all other properties are kept."""
    return replace(layer, parameters=None, use_bias=layer.has_bias)


def with_bits(network: Network, bits: dict[str, int]) -> Network:
    """Return the network with other weight widths, given by layer; layers that share weights follow."""
    layers = []
    for layer in network.layers:
        width = bits.get(layer.shares or layer.name)
        layers.append(without_weights(layer) if width is None else replace(without_weights(layer), bits=width))
    return _built(network, layers)


def with_folded_input(network: Network, factor: int) -> Network | None:
    """Return the network for an input whose rows and columns are folded by `factor` into channels.

    Returns None if the sizes are not divisible, or if a layer reads its input in another arrangement. Raises Ai8xError
    if the layers do not fit the smaller sizes.
    """
    channels, rows, columns = network.input_shape
    wide = columns > 1
    if rows % factor or (wide and columns % factor) or network.buffer is not None:
        return None
    if any(_rearranges(network, layer) for layer in network.layers):
        return None
    more = channels * factor * (factor if wide else 1)
    shape = (more, rows // factor, columns // factor if wide else 1)
    layers = [_open(layer, layer.channels_out) for layer in network.layers]
    return _built(network, layers, shape)


def with_fewer_channels(network: Network, share: float) -> Network | None:
    """Return the network with the channels between its layers reduced to `share`; input and outputs keep theirs.

    Returns None if a layer reads its input in another arrangement. Raises Ai8xError if the resulting layers do not fit
    each other.
    """
    if network.buffer is not None or any(_rearranges(network, layer) for layer in network.layers):
        return None

    def fewer(channels: int) -> int:
        return max(_GRANULE, int(channels * share) // _GRANULE * _GRANULE)

    fixed = _fixed_channels(network)
    channels: dict[str, int] = {}
    layers: list[Layer] = []
    for name in network.evaluation_order():
        layer = network[name]
        count = layer.channels_out if name in fixed or not layer.has_weights else fewer(layer.channels_out)
        if not layer.has_weights or layer.depthwise:
            count = _offered(network, layer, channels)
        channels[name] = count
    for layer in network.layers:
        opened = _open(layer, channels[layer.name])
        layers.append(replace(opened, groups=channels[layer.name]) if layer.depthwise else opened)
    return _built(network, layers)


def _offered(network: Network, layer: Layer, channels: dict[str, int]) -> int:
    """Return the number of output channels of a layer whose channels follow from its inputs."""
    given = [network.input_shape[0] if source is INPUT else channels[str(source)] for source in layer.inputs]
    return given[0] if layer.eltwise else sum(given)


def _fixed_channels(network: Network) -> set[str]:
    """Return the layers that determine the channels of the network's outputs."""
    fixed = {layer.name for layer in network.outputs()}
    for layer in reversed(network.layers):
        if layer.name in fixed and (not layer.has_weights or layer.depthwise):
            fixed |= {source for source in layer.inputs if isinstance(source, str)}
    return fixed


def _open(layer: Layer, channels_out: int) -> Layer:
    """Return a layer without weights whose sizes are to be derived from its inputs."""
    nothing = (0, 0)
    return replace(
        without_weights(layer),
        channels_in=0,
        channels_out=channels_out,
        in_size=nothing,
        pooled_size=nothing,
        out_size=nothing,
    )


def _rearranges(network: Network, layer: Layer) -> bool:
    """Return whether a layer reads its inputs with rows and columns other than their own."""
    sizes = {
        network.input_shape[1:] if source is INPUT else network[str(source)].out_size
        for source in layer.inputs
        if source is INPUT or isinstance(source, str)
    }
    return sizes != {layer.in_size} or any(layer.in_crop)


def _built(network: Network, layers: list[Layer], shape: tuple[int, int, int] | None = None) -> Network:
    return build_network(
        network.name, shape or network.input_shape, layers, buffer=network.buffer, has_bias=network.has_bias
    )
