"""Channels of a description whose weights are not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.description import LayerDescription, NetworkDescription
from ai8x_tool.network.network import Network

Shape = tuple[int, int, int]


def missing_channels(description: NetworkDescription) -> list[LayerDescription]:
    """Return the layers with weights whose number of outputs the description does not give."""
    layers = description.layers
    return [layer for layer in layers if layer.takes_parameters and layer.out_channels is None]


def described_input(description: NetworkDescription) -> Shape | None:
    """Return the shape of the input, (channels, rows, columns), if the first layer gives it."""
    first = description.layers[0]
    if first.in_channels is None or first.in_dim is None or first.in_sequences:
        return None
    return first.in_channels * first.operands, *first.in_dim


def with_channels(description: NetworkDescription, channels: Mapping[int, int]) -> NetworkDescription:
    """Return the description with missing numbers of outputs added, by layer index; also for shared weights."""
    given = {layer.index: layer.out_channels or channels.get(layer.index) for layer in description.layers}
    layers = []
    for layer in description.layers:
        source = layer.index if layer.weight_source is None else layer.weight_source
        layers.append(replace(layer, out_channels=given[layer.index] or given.get(source)))
    return replace(description, layers=tuple(layers))


def channels_of(description: NetworkDescription, model: Network) -> dict[int, int]:
    """Return the numbers of outputs, by layer index, from `model`, the network of the description's model.

    Layers are matched by name if every layer with weights has the name of a layer of the model, in order otherwise.
    Raises Ai8xError if the description has more layers with weights than the model.
    """
    layers = [layer for layer in description.layers if layer.takes_parameters]
    known = [layer for layer in model.layers if layer.has_weights and layer.shares is None]
    by_name = {layer.name.lower(): layer.channels_out for layer in known}
    names = [(layer.name or "").lower() for layer in layers]
    if all(name in by_name for name in names):
        return {layer.index: by_name[name] for layer, name in zip(layers, names, strict=True)}
    _require_equal_count(description, layers, len(known))
    return {layer.index: other.channels_out for layer, other in zip(layers, known, strict=False)}


def _require_equal_count(description: NetworkDescription, layers: Sequence[LayerDescription], count: int) -> None:
    if len(layers) > count:
        message = f"the description has {len(layers)} layers with weights, the model {description.arch} has {count}"
        raise Ai8xError(message, where=str(description.path), fix="set out_channels, or pass --checkpoint FILE")
