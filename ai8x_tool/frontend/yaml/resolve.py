"""From description, parameters and sample shape to a resolved network. spec: registers, section 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.frontend.yaml.description import BUFFER, INPUT, STOP, LayerDescription, NetworkDescription, Pair
from ai8x_tool.frontend.yaml.resolve_rules import (
    CHOICE_RULES,
    ChosenLayers,
    OrderedLayer,
    SizedLayer,
    SourcedLayer,
    WeightedLayer,
    caution_no_successor,
    constraint_endless_order,
    constraint_executed,
    constraint_executed_sources,
    constraint_flatten_pixels,
    constraint_input_channels,
    constraint_kernel_fits,
    constraint_list_order,
    constraint_output_channels,
    constraint_pooled_size,
    constraint_shared_kernel,
    constraint_source_channels,
    constraint_source_pixels,
    constraint_source_sizes,
    constraint_weight_source,
)
from ai8x_tool.network.dimensions import map_for, output_size, pooled_size
from ai8x_tool.network.network import Layer, Network, Parameters
from ai8x_tool.rule import remark, require


@dataclass(frozen=True)
class ResolveOptions:
    """Options that change the network itself."""

    stop_after: int | None = None
    start_layer: int = 0
    input_offset: int | None = None
    output_width: int | None = None
    ignore_streaming: bool = False


def resolve(
    description: NetworkDescription,
    parameters: Mapping[int, Parameters],
    input_shape: tuple[int, int, int],
    device: Device,
    console: Console,
    options: ResolveOptions = ResolveOptions(),
) -> Network:
    """Return the network with all channels, sizes, offsets and maps. `input_shape` is (channels, rows, columns).

    Raises Ai8xError naming file, line and layer for anything that cannot be resolved.
    """
    description = _with_options(description, options)
    order = _execution_order(description, device, console, options)
    resolver = _Resolver(description, parameters, input_shape, options)
    previous = INPUT
    for position, index in enumerate(order):
        following = order[position + 1] if position + 1 < len(order) else STOP
        resolver.add(index, previous, following)
        previous = index
    layers = tuple(resolver.done[index] for index in sorted(order))
    _check_contiguous(description, device, order)
    layers = _mark_outputs(layers, order[-1])
    has_bias = any(p.bias is not None for p in parameters.values())
    return Network(description, device, layers, tuple(order), input_shape, has_bias)


def _with_options(description: NetworkDescription, options: ResolveOptions) -> NetworkDescription:
    if not options.ignore_streaming:
        return description
    return replace(description, layers=tuple(replace(layer, streaming=False) for layer in description.layers))


def _execution_order(
    description: NetworkDescription, device: Device, console: Console, options: ResolveOptions
) -> list[int]:
    layers = description.layers
    for rule in CHOICE_RULES:
        require(rule, ChosenLayers(options.start_layer, options.stop_after, len(layers)))
    order: list[int] = []
    index = options.start_layer
    while index != STOP:
        ordered = OrderedLayer(description.where(layers[index]), layers[index], device, len(layers), tuple(order))
        require(constraint_endless_order, ordered)
        order.append(index)
        index = STOP if index == options.stop_after else _successor(ordered, console)
    return order


def _successor(ordered: OrderedLayer, console: Console) -> int:
    given = ordered.layer.next_sequence
    following = ordered.default if given is None else given
    ordered = ordered._replace(following=following)
    require(constraint_list_order, ordered)
    remark(caution_no_successor, ordered, console)
    return following if following < ordered.total else STOP


class _Resolver:
    """Resolves layers one after the other, in execution order."""

    def __init__(
        self,
        description: NetworkDescription,
        parameters: Mapping[int, Parameters],
        input_shape: tuple[int, int, int],
        options: ResolveOptions,
    ) -> None:
        self.description = description
        self.parameters = parameters
        self.input_shape = input_shape
        self.options = options
        self.done: dict[int, Layer] = {}

    def add(self, index: int, previous: int, following: int) -> None:
        """Resolve the layer `index`, executed after `previous` and before `following`."""
        given = self.description.layers[index]
        where = self.description.where(given)
        parameters = self._parameters(given, where)
        size = self._input_size(given, previous, where)
        if given.operator == "none" and size[1] == 1:
            given = replace(given, pool=(given.pool[0], 1), pool_dilation=(given.pool_dilation[0], 1))
        pooled = pooled_size(given, size)
        out = output_size(given, pooled)
        for rule in (constraint_pooled_size, constraint_kernel_fits):
            require(rule, SizedLayer(where, given, size, pooled, out))
        channels_in = self._channels_in(given, parameters, previous, pooled, where)
        channels_out = _channels_out(given, parameters, channels_in, where)
        bits, shift = _width_and_shift(given, parameters)
        final = following == STOP
        values: dict[str, Any] = vars(given) | {
            "output_width": (self.options.output_width or given.output_width) if final else given.output_width,
            "channels_in": channels_in,
            "channels_out": channels_out,
            "in_size": size,
            "pooled_size": pooled,
            "out_size": out,
            "input_offset": self._input_offset(given, previous),
            "output_map": self._output_map(given, channels_out, following),
            "shift": shift,
            "bits": bits,
            "parameters": parameters,
            "previous": previous,
            "next": following,
            "where": where,
        }
        self.done[index] = Layer(**values)

    def _parameters(self, given: LayerDescription, where: str) -> Parameters | None:
        if given.weight_source is None:
            return self.parameters.get(given.index) if given.takes_parameters else None
        source = self.parameters.get(given.weight_source)
        require(constraint_weight_source, WeightedLayer(where, given, found=source is not None))
        assert source is not None
        rows, columns = source.weights.shape[2:]
        require(constraint_shared_kernel, WeightedLayer(where, given, shared_kernel=(rows, columns)))
        own = replace(source, bits=given.quantization or 8)
        implicit = 8 - abs(source.bits) - (8 - abs(own.bits))
        return replace(own, shift=source.shift + implicit)

    def _source(self, index: int) -> tuple[int, Pair]:
        """Return channels and size of a source: a layer, the input, or the rolling buffer."""
        if index == INPUT:
            return self.input_shape[0], self.input_shape[1:]
        if index == BUFFER:
            buffer = self.description.data_buffer
            return (buffer.channels, buffer.dim) if buffer else (0, (0, 0))
        layer = self.done[index]
        return layer.channels_out, layer.out_size

    def _input_size(self, given: LayerDescription, previous: int, where: str) -> Pair:
        named = given.in_sequences or ()
        require(constraint_executed_sources, SourcedLayer(where, given, named, self.done))
        sources = named or (previous,)
        channels, sizes = zip(*(self._source(source) for source in sources), strict=True)
        sourced = SourcedLayer(where, given, sources, self.done, channels, sizes)
        for rule in (constraint_source_channels, constraint_source_sizes, constraint_source_pixels):
            require(rule, sourced)
        return sizes[0] if given.in_dim is None else given.in_dim

    def _channels_in(
        self, given: LayerDescription, parameters: Parameters | None, previous: int, pooled: Pair, where: str
    ) -> int:
        offered = given.in_channels or self._offered_channels(given, previous)
        if parameters is None:
            return offered
        groups = given.groups if given.operator != "convtranspose2d" else 1
        inputs = int(parameters.weights.shape[1]) * groups
        weighted = WeightedLayer(where, given, inputs=inputs, pooled=pooled, offered=offered)
        for rule in (constraint_flatten_pixels, constraint_input_channels):
            require(rule, weighted)
        return inputs // weighted.pixels

    def _offered_channels(self, given: LayerDescription, previous: int) -> int:
        if given.in_sequences is None:
            channels = self._source(previous)[0]
            return channels // given.operands if previous == INPUT else channels
        counts = [self._source(s)[0] for s in given.in_sequences]
        return counts[0] if given.eltwise else sum(counts)

    def _input_offset(self, given: LayerDescription, previous: int) -> int:
        if previous == INPUT and self.options.input_offset is not None:
            return self.options.input_offset
        if given.in_offset is not None:
            return given.in_offset
        return 0 if previous == INPUT else self.description.layers[previous].out_offset

    def _output_map(self, given: LayerDescription, channels: int, following: int) -> int:
        layers = self.description.layers
        if following != STOP:
            return given.output_processors or layers[following].processors
        if self.description.output_map is not None:
            return self.description.output_map
        if given.output_processors is not None:
            return given.output_processors
        stopped = given.index == self.options.stop_after and given.index + 1 < len(layers)
        if stopped and given.next_sequence != STOP:
            return layers[given.index + 1 if given.next_sequence is None else given.next_sequence].processors
        return map_for(channels)


def _channels_out(given: LayerDescription, parameters: Parameters | None, channels_in: int, where: str) -> int:
    if parameters is None:
        return given.out_channels or channels_in
    groups = given.groups if given.operator == "convtranspose2d" else 1
    channels = int(parameters.weights.shape[0]) * groups
    require(constraint_output_channels, WeightedLayer(where, given, outputs=channels))
    return channels


def _width_and_shift(given: LayerDescription, parameters: Parameters | None) -> tuple[int, int]:
    """Return (weight bits, total output shift)."""
    if parameters is not None:
        return parameters.bits, parameters.shift + 8 - abs(parameters.bits)
    default = 7 if given.bypass else 0
    bits = given.quantization or (8 if given.bypass else 0)
    return bits, default if given.output_shift is None else given.output_shift


def _check_contiguous(description: NetworkDescription, device: Device, order: list[int]) -> None:
    layers = description.layers
    for index in range(min(order), max(order)):
        where = description.where(layers[index])
        require(constraint_executed, OrderedLayer(where, layers[index], device, len(layers), order))


def _mark_outputs(layers: tuple[Layer, ...], final: int) -> tuple[Layer, ...]:
    """Mark the final layer as output unless the description marks some."""
    if any(layer.output for layer in layers):
        return layers
    return tuple(replace(layer, output=True) if layer.index == final else layer for layer in layers)
