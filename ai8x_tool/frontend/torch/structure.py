"""Structural comparison of the network of a model and that of a description, without comparing values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ai8x_tool.frontend.torch.expressions import Expression, joined, pooled, pooling_text, read, text
from ai8x_tool.frontend.yaml.checkpoint_parameters import weight_module
from ai8x_tool.network.layer import INPUT, Layer, Pair, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.selection import ZERO, selected_channels

_Key = tuple[str, int]
"""A module and the number of its use, counted from 1."""
_Channel = tuple[Source, int] | None
"""A channel of a value; None for zeros."""


@dataclass(frozen=True)
class _Side:
    """The layers with weights of one network, by module and use, and expressions for the inputs and outputs of all."""

    network: Network
    layers: dict[_Key, Layer]
    inputs: dict[str, Expression]
    values: dict[str, Expression]


def structure_differences(model: Network, description: Network) -> list[str]:
    """Return the differences between the computations of `description` and `model`, one line each.

    Layers are matched by the modules whose weights they use. Copies, and the layer in which pooling or an element-wise
    operation is computed, make no difference; nor does a description that ends before the model does.
    """
    left, right = _side(model), _side(description)
    differences = []
    for key, theirs in right.layers.items():
        ours = left.layers.get(key)
        if ours is None:
            differences.append(f"{theirs.where}: {_use(key)} is not in the model")
            continue
        places = f"{_name(key)} ({ours.source or 'model'}; {theirs.source or 'description'})"
        differences += [f"{places}: {difference}" for difference in _layer_differences(ours, theirs)]
        differences += [f"{places}: {d}" for d in _input_differences(left.inputs[ours.name], right.inputs[theirs.name])]
    return differences or _output_differences(left, right)


def _side(network: Network) -> _Side:
    layers: dict[_Key, Layer] = {}
    inputs: dict[str, Expression] = {}
    values: dict[str, Expression] = {}
    selections: dict[Source, list[_Channel]] = {}
    used: Counter[str] = Counter()
    for name in network.evaluation_order():
        layer = network[name]
        inputs[name] = read(layer, values)
        again = _only_selects(layer) and not selections.keys().isdisjoint(layer.inputs)
        if _is_copy(layer) and not again:
            values[name] = inputs[name]
            continue
        if _only_selects(layer):
            selections[name] = _selection(network, layer, selections)
            values[name] = _selected_value(network, selections[name], values)
            continue
        module = _module(layer)
        used[module] += 1
        layers[module, used[module]] = layer
        values[name] = (f"{module} (use {used[module]})" if used[module] > 1 else module,)
    return _Side(network, layers, inputs, values)


def _only_selects(layer: Layer) -> bool:
    """Return whether a layer only selects channels of its input."""
    return selected_channels(layer) is not None and not pooling_text(layer) and not any(layer.in_crop)


def _selection(network: Network, layer: Layer, selections: Mapping[Source, list[_Channel]]) -> list[_Channel]:
    """Return the value and the channel that each output of a selecting layer is."""
    offered: list[_Channel] = []
    for source in layer.inputs:
        count = network[source].channels_out if isinstance(source, str) else network.input_shape[0]
        offered += selections.get(source, [(source, channel) for channel in range(count)])
    return [None if channel == ZERO else offered[channel] for channel in selected_channels(layer) or ()]


def _selected_value(network: Network, channels: list[_Channel], values: Mapping[str, Expression]) -> Expression:
    """Return whole values if `channels` are all their channels; otherwise an expression that lists the channels."""
    known: dict[Source, Expression] = {INPUT: ("the input",)} | dict(values)
    sources = list(dict.fromkeys(channel[0] for channel in channels if channel is not None))
    whole: list[_Channel] = []
    for source in sources:
        count = network[source].channels_out if isinstance(source, str) else network.input_shape[0]
        whole += [(source, channel) for channel in range(count)]
    if channels == whole:
        return joined(known[source] for source in sources)
    return (f"channels {', '.join(_runs(channels, known))}",)


def _runs(channels: Sequence[_Channel], values: Mapping[Source, Expression]) -> Iterator[str]:
    """Yield consecutive channels of a value as ``name[first…last]``, zeros as ``0``."""
    first = 0
    for position, channel in enumerate(channels):
        following = channels[position + 1] if position + 1 < len(channels) else None
        if channel is not None and following == (channel[0], channel[1] + 1):
            continue
        start = channels[first]
        first = position + 1
        if channel is None or start is None:
            yield "0"
        else:
            numbers = f"{start[1]}…{channel[1]}" if start != channel else f"{channel[1]}"
            yield f"{text(values[channel[0]])}[{numbers}]"


def _module(layer: Layer) -> str:
    return weight_module(layer.parameters.key) if layer.parameters is not None else layer.shares or layer.name


def _is_copy(layer: Layer) -> bool:
    """Return whether a layer only copies its input: it has no weights or those of an identity."""
    if not layer.has_weights:
        return True
    found = layer.parameters
    if found is None or layer.activation != "none" or layer.kernel != (1, 1) or layer.flatten or layer.depthwise:
        return False
    square = found.weights[:, :, 0, 0]
    if layer.channels_in != layer.channels_out or layer.bias is not None or layer.output_width != 8:
        return False
    factor = int(square[0, 0])
    return factor * 2.0**layer.shift == 128 and bool((square == factor * np.eye(len(square))).all())


def _name(key: _Key) -> str:
    return key[0] if key[1] == 1 else f"{key[0]}, use {key[1]}"


def _use(key: _Key) -> str:
    return f"module {key[0]!r}" if key[1] == 1 else f"use {key[1]} of module {key[0]!r}"


def _layer_differences(ours: Layer, theirs: Layer) -> Iterator[str]:
    """Yield the differences of the operators."""
    aspects = {
        "operator": (_operator(ours), _operator(theirs)),
        "activation": (_activation(ours), _activation(theirs)),
        "output width": (f"{ours.output_width} bits", f"{theirs.output_width} bits"),
        "kernel": (_size(ours.kernel), _size(theirs.kernel)),
        "padding": (_size(ours.pad), _size(theirs.pad)),
        "dilation": (_size(ours.dilation), _size(theirs.dilation)),
        "groups": (str(ours.groups), str(theirs.groups)),
        "output padding": (_size(ours.output_pad), _size(theirs.output_pad)),
        "flatten": (_yes(ours.flat_pixels > 1), _yes(theirs.flat_pixels > 1)),
        "bias": (_yes(_biased(ours)), _yes(_biased(theirs))),
    }
    # The same integers in more bits with the same shift are equal weights: narrow weights cannot always be stored.
    wider = abs(theirs.bits) > abs(ours.bits) and theirs.shift == ours.shift
    if ours.parameters is not None and theirs.parameters is not None and not wider:
        aspects["weight bits"] = (str(abs(ours.bits)), str(abs(theirs.bits)))
    for aspect, (have, want) in aspects.items():
        if have != want:
            yield f"{aspect}: {have} in the model, {want} in the description"


def _operator(layer: Layer) -> str:
    """Return the operator; a 1×1 convolution of one pixel counts as a linear layer."""
    one_pixel = layer.operator in ("conv2d", "linear") and layer.kernel == (1, 1) and layer.pooled_size == (1, 1)
    return "linear" if one_pixel or layer.operator == "linear" else layer.operator


def _activation(layer: Layer) -> str:
    return {"none": "none", "relu": "ReLU", "abs": "Abs"}[layer.activation]


def _biased(layer: Layer) -> bool:
    return layer.use_bias if layer.parameters is None else layer.parameters.bias is not None


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _size(size: Pair) -> str:
    return f"{size[0]}×{size[1]}"


def _input_differences(ours: Expression, theirs: Expression) -> Iterator[str]:
    """Yield the differences of the inputs of a layer: in the pooling only, or in the sources."""
    if ours == theirs:
        return
    mine, my_pooling = pooled(ours)
    other, other_pooling = pooled(theirs)
    if mine == other:
        yield f"pooling: {my_pooling or 'none'} in the model, {other_pooling or 'none'} in the description"
    else:
        yield f"input: {text(ours)} in the model, {text(theirs)} in the description"


def _output_differences(left: _Side, right: _Side) -> list[str]:
    """Return the differences after the last layers if both networks end in the same layers."""
    ends = [joined([side.values[layer.name] for layer in side.network.outputs()]) for side in (left, right)]
    bases = [sorted(text(pooled((part,))[0]) for part in end) for end in ends]
    if bases[0] != bases[1] or sorted(map(repr, ends[0])) == sorted(map(repr, ends[1])):
        return []
    return [f"output: {text(ends[0])} in the model, {text(ends[1])} in the description"]
