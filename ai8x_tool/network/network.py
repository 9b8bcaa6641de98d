"""A network: a graph of layers that defines what is computed, not where or when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ai8x_tool.network.layer import BINARY, BUFFER, INPUT, Layer, Pair, Parameters, Source
from ai8x_tool.network.rules import (
    LAYER_RULES,
    NAME_RULES,
    NUMBER_RULES,
    SIZE_RULES,
    SOURCE_RULES,
    VALUE_RULES,
    WEIGHT_RULES,
    NamedLayer,
    NumberedLayers,
    SourcedLayer,
    WeightedLayer,
)
from ai8x_tool.network.sizes import output_size, pooled_size
from ai8x_tool.rule import require

__all__ = ["BINARY", "BUFFER", "INPUT", "Buffer", "Layer", "Network", "Parameters", "build_network"]

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Buffer:
    """The rolling buffer that some layers read and shift: `size` = (length, width), zero at start."""

    name: str
    channels: int
    size: Pair


@dataclass(frozen=True)
class Network:
    """A graph of layers, checked and with all sizes known; made by :func:`build_network`.

    `layers` are listed by ascending `index`, which is contiguous. The graph has no cycles, but a layer may read one
    that is listed after it. `input_shape` is (channels, rows, columns) of a sample, with all operands of the first
    layer among its channels. `has_bias` also takes layers into account that were left out.
    """

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    buffer: Buffer | None = None
    has_bias: bool = False

    @property
    def first(self) -> int:
        """Smallest layer index."""
        return self.layers[0].index

    def __getitem__(self, key: int | str) -> Layer:
        """Return the layer with an index or a name. Raises KeyError for an unknown name."""
        if isinstance(key, str):
            return self.by_name[key]
        return self.layers[key - self.layers[0].index]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, int):
            return 0 <= key - self.layers[0].index < len(self.layers)
        return key in self.by_name

    @property
    def by_name(self) -> dict[str, Layer]:
        """The layers by name."""
        cached: dict[str, Layer] | None = self.__dict__.get("_by_name")
        if cached is None:
            cached = {layer.name: layer for layer in self.layers}
            self.__dict__["_by_name"] = cached
        return cached

    def outputs(self) -> list[Layer]:
        """Return the output layers, in order of their index."""
        return [layer for layer in self.layers if layer.output]

    def readers(self, source: Source) -> list[Layer]:
        """Return the layers that read `source`, in order of their index."""
        return [layer for layer in self.layers if source in layer.inputs]

    def evaluation_order(self) -> tuple[str, ...]:
        """Return the names of all layers in topological order, which deviates from the list only where necessary."""
        return tuple(layer.name for layer in _ordered(self.layers, self.buffer))


def build_network(
    name: str,
    input_shape: Shape,
    layers: Sequence[Layer],
    *,
    buffer: Buffer | None = None,
    has_bias: bool | None = None,
) -> Network:
    """Return the network of `layers`, with channels and sizes derived where the layers do not give them.

    If no layer has an `index`, they are numbered as listed. If no layer is marked as `output`, the layers that no other
    layer reads become outputs. `input_shape` is (channels, rows, columns). Raises Ai8xError for the first broken rule,
    naming the layer.
    """
    if any(layer.index for layer in layers):
        listed = sorted(layers, key=lambda layer: layer.index)
    else:
        listed = [replace(layer, index=index) for index, layer in enumerate(layers)]
    for number_rule in NUMBER_RULES:
        require(number_rule, NumberedLayers(name, tuple(listed), input_shape))
    for value_rule in VALUE_RULES:
        for layer in listed:
            require(value_rule, layer)
    done: dict[str, Layer] = {}
    for layer in _ordered(listed, buffer):
        done[layer.name] = _derived(layer, done, input_shape, buffer)
    built = [done[layer.name] for layer in listed]
    for rule in LAYER_RULES:
        for layer in built:
            require(rule, layer)
    if not any(layer.output for layer in built):
        read = {source for layer in built for source in layer.inputs}
        built = [replace(layer, output=layer.name not in read) for layer in built]
    biased = any(layer.has_bias for layer in built) if has_bias is None else has_bias
    return Network(name, input_shape, tuple(built), buffer, biased)


def _ordered(layers: Sequence[Layer], buffer: Buffer | None) -> list[Layer]:
    """Return the layers such that each follows those that it reads; raise Ai8xError for wrong references or names."""
    names = {layer.name for layer in layers}
    seen: set[str] = set()
    for layer in layers:
        for rule in NAME_RULES[:2]:
            require(rule, NamedLayer(layer, names, seen, buffer is not None))
        seen.add(layer.name)
    ordered: list[Layer] = []
    done: set[Source] = {INPUT, BUFFER}
    waiting = list(layers)
    while waiting:
        ready = next((layer for layer in waiting if done.issuperset(layer.inputs)), None)
        if ready is None:
            require(NAME_RULES[2], NamedLayer(_in_cycle(waiting), names, {x for x in done if isinstance(x, str)}))
            raise AssertionError("the layer belongs to a cycle, but all its sources are available")
        waiting.remove(ready)
        ordered.append(ready)
        done.add(ready.name)
    return ordered


def _in_cycle(waiting: list[Layer]) -> Layer:
    """Return a layer of a cycle; each of `waiting` reads another one of them."""
    by_name = {layer.name: layer for layer in waiting}
    layer, seen = waiting[0], set[str]()
    while layer.name not in seen:
        seen.add(layer.name)
        layer = by_name[next(str(source) for source in layer.inputs if source in by_name)]
    return layer


def _derived(layer: Layer, done: dict[str, Layer], input_shape: Shape, buffer: Buffer | None) -> Layer:
    """Return `layer` with its channels and sizes; `done` are the layers that it may read."""
    channels, sizes = zip(*(_source(source, done, input_shape, buffer) for source in layer.inputs), strict=True)
    labels = tuple(_label(source, done) for source in layer.inputs)
    sourced = SourcedLayer(layer, channels, sizes, labels)
    for source_rule in SOURCE_RULES:
        require(source_rule, sourced)
    size = sizes[0] if layer.in_size == (0, 0) else layer.in_size
    if layer.operator == "none" and size[1] == 1:
        layer = replace(layer, pool=(layer.pool[0], 1), pool_dilation=(layer.pool_dilation[0], 1))
    pooled = pooled_size(layer, size)
    layer = replace(layer, in_size=size, pooled_size=pooled, out_size=output_size(layer, pooled))
    for size_rule in SIZE_RULES:
        require(size_rule, layer)
    offered = layer.channels_in or _offered(sourced, size)
    parameters = layer.parameters
    if parameters is None:
        bits = layer.bits or (8 if layer.has_weights else 0)
        return replace(layer, channels_in=offered, channels_out=layer.channels_out or offered, bits=bits)
    if not layer.bits:
        layer = replace(layer, bits=parameters.bits, shift=parameters.shift + 8 - abs(parameters.bits))
    weights, transposed = parameters.weights, layer.operator == "convtranspose2d"
    inputs = int(weights.shape[1]) * (1 if transposed else layer.groups)
    outputs = int(weights.shape[0]) * (layer.groups if transposed else 1)
    weighted = WeightedLayer(layer, inputs, outputs, pooled, offered, labels)
    for weight_rule in WEIGHT_RULES:
        require(weight_rule, weighted)
    return replace(layer, channels_in=inputs // weighted.pixels, channels_out=outputs)


def _source(source: Source, done: dict[str, Layer], input_shape: Shape, buffer: Buffer | None) -> tuple[int, Pair]:
    """Return the channels and the size of a source."""
    if source is INPUT:
        return input_shape[0], (input_shape[1], input_shape[2])
    if source is BUFFER:
        assert buffer is not None
        return buffer.channels, buffer.size
    layer = done[str(source)]
    return layer.channels_out, layer.out_size


def _label(source: Source, done: dict[str, Layer]) -> str:
    if source is INPUT:
        return "the input"
    return "the rolling buffer" if source is BUFFER else done[str(source)].label


def _offered(sourced: SourcedLayer, size: Pair) -> int:
    """Return the number of channels of `size` that the inputs provide per operand."""
    if BUFFER in sourced.layer.inputs:
        return sourced.channels[0]
    return sourced.values // (size[0] * size[1] * sourced.layer.operands)
