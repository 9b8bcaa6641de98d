"""Binding of the weights of a quantized checkpoint to a traced network."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.frontend.yaml.checkpoint_parameters import (
    ParameterOptions,
    layer_parameters,
    weight_keys,
    weight_module,
)
from ai8x_tool.frontend.yaml.description import LayerDescription
from ai8x_tool.network.layer import Layer, Parameters
from ai8x_tool.network.network import Network, build_network
from ai8x_tool.network.selection import selected_before_activation


def bind(network: Network, checkpoint: Checkpoint, device: Device, console: Console | None = None) -> Network:
    """Return `network` with the weights, biases, widths and shifts that `checkpoint` stores under the layers' names.

    Layers that share weights get those of the layer with which they share; inserted layers that only move or activate
    data keep theirs. Raises Ai8xError, naming the layer, if weights are missing, not quantized or do not fit.
    """
    output = console or Console(verbosity=-1, muted=True)
    keys: dict[str, str] = {}
    for key in weight_keys(checkpoint, ParameterOptions(), output):
        keys.setdefault(weight_module(key), key)
    parameters: dict[str, Parameters] = {}
    for layer in network.layers:
        if layer.has_weights and layer.shares is None and selected_before_activation(layer) is None:
            parameters[layer.name] = _parameters(layer, keys, checkpoint, device, output)
    layers = [_bound(layer, parameters) for layer in network.layers]
    return build_network(network.name, network.input_shape, layers, buffer=network.buffer)


def _parameters(
    layer: Layer, keys: dict[str, str], checkpoint: Checkpoint, device: Device, console: Console
) -> Parameters:
    key = keys.get(layer.name)
    if key is None:
        known = nearest(layer.name, list(keys))
        fix = "use a checkpoint of this model"
        message = f"no weights for {layer.name!r} ({layer.source}){known}"
        raise Ai8xError(message, where=str(checkpoint.path), fix=fix)
    described = LayerDescription(
        *(layer.index, 0),
        name=layer.name,
        operator=layer.operator,
        kernel=layer.kernel,
        output_width=layer.output_width,
    )
    where = f"{checkpoint.path}: {key!r}"
    return layer_parameters(where, described, key, checkpoint, device, console)


def _bound(layer: Layer, parameters: dict[str, Parameters]) -> Layer:
    found = parameters.get(layer.shares or layer.name)
    if found is None:
        return layer
    shift = found.shift + 8 - abs(found.bits)
    return replace(layer, parameters=found, bits=found.bits, shift=shift, use_bias=found.bias is not None)
