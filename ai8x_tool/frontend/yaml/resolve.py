"""Resolution of a parsed description, its parameters and the shape of a sample to a network and its placement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.frontend.yaml.checkpoint_parameters import described
from ai8x_tool.frontend.yaml.description import BUFFER, INPUT, STOP, LayerDescription, NetworkDescription
from ai8x_tool.frontend.yaml.resolve_rules import (
    CHOICE_RULES,
    ChosenLayers,
    DescribedSources,
    OrderedLayer,
    SharingLayer,
    caution_no_successor,
    constraint_chw_first_layer,
    constraint_endless_order,
    constraint_executed,
    constraint_executed_sources,
    constraint_joined_channels,
    constraint_list_order,
    constraint_shared_kernel,
    constraint_weight_source,
)
from ai8x_tool.mapping.placement import BufferPlacement, LayerPlacement, Placement
from ai8x_tool.network import layer as network_layer
from ai8x_tool.network.layer import Layer, Parameters, Source
from ai8x_tool.network.network import Buffer, Network, build_network
from ai8x_tool.network.sizes import processor_map_for
from ai8x_tool.rule import require, warn_about


@dataclass(frozen=True)
class ResolveOptions:
    """Options that change the network, or the places of its input and output."""

    stop_after: int | None = None
    start_layer: int = 0
    input_offset: int | None = None
    output_width: int | None = None
    ignore_streaming: bool = False


class PlacedDescription(NamedTuple):
    """The contents of a description: the network and its placement."""

    network: Network
    placement: Placement


def resolve(
    description: NetworkDescription,
    parameters: Mapping[int, Parameters],
    input_shape: tuple[int, int, int],
    device: Device,
    console: Console,
    options: ResolveOptions = ResolveOptions(),
) -> PlacedDescription:
    """Return the network and its placement. `input_shape` is (channels, rows, columns), `parameters` by layer index.

    Without any parameters, the channels of layers with weights are those given by `out_channels`. Places that the
    description does not give are None in the placement. Raises Ai8xError, naming file, line and layer, for
    contradictions.
    """
    order = _execution_order(description, device, console, options)
    _check_contiguous(description, device, order)
    resolver = _Resolver(description, parameters, options, order)
    layers = [resolver.layer(index) for index in sorted(order)]
    has_bias = any(p.bias is not None for p in parameters.values())
    network = build_network(description.arch, input_shape, layers, buffer=resolver.buffer(), has_bias=has_bias)
    resolver.check_joined(network)
    return PlacedDescription(network, resolver.placement(network))


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
        require(constraint_chw_first_layer, ordered)
        order.append(index)
        index = STOP if index == options.stop_after else _successor(ordered, console)
    return order


def _successor(ordered: OrderedLayer, console: Console) -> int:
    given = ordered.layer.next_sequence
    following = ordered.default if given is None else given
    ordered = ordered._replace(following=following)
    require(constraint_list_order, ordered)
    warn_about(caution_no_successor, ordered, console)
    return following if following < ordered.total else STOP


def _check_contiguous(description: NetworkDescription, device: Device, order: list[int]) -> None:
    layers = description.layers
    for index in range(min(order), max(order)):
        where = description.where(layers[index])
        require(constraint_executed, OrderedLayer(where, layers[index], device, len(layers), order))


class _Resolver:
    """Converts layer descriptions to layers and placements; `order` are the indices of the executed layers."""

    def __init__(
        self,
        description: NetworkDescription,
        parameters: Mapping[int, Parameters],
        options: ResolveOptions,
        order: list[int],
    ) -> None:
        self.description = description
        self.parameters = parameters
        self.options = options
        self.order = order
        self.names = {layer.index: layer.name or str(layer.index) for layer in description.layers}
        self.marked = any(description.layers[index].output for index in order)

    def layer(self, index: int) -> Layer:
        """Return the layer `index` of the network."""
        given = self.description.layers[index]
        where = self.description.where(given)
        parameters = self._parameters(given, where)
        final = index == self.order[-1]
        bits, shift = _width_and_shift(given, parameters)
        return Layer(
            name=self.names[index],
            inputs=self._inputs(given, where),
            operator=given.operator,
            eltwise=given.eltwise,
            operands=given.operands,
            pool_first=given.pool_first,
            groups=given.groups,
            activation=given.activation,
            kernel=given.kernel,
            dilation=given.dilation,
            stride=given.stride,
            pad=given.pad,
            output_pad=given.output_pad,
            pool=given.pool,
            pool_average=given.pool_average,
            pool_stride=given.pool_stride,
            pool_dilation=given.pool_dilation,
            flatten=given.flatten,
            bypass=given.bypass,
            in_crop=given.in_crop,
            output_width=(self.options.output_width or given.output_width) if final else given.output_width,
            output=given.output if self.marked else final,
            buffer_shift=given.buffer_shift,
            buffer_insert=given.buffer_insert,
            channels_in=given.in_channels or 0,
            channels_out=given.out_channels or 0,
            in_size=given.in_dim or (0, 0),
            shift=shift,
            bits=bits,
            parameters=parameters,
            shares=None if given.weight_source is None else self.names[given.weight_source],
            index=index,
            source=f"{self.description.path}:{given.line}",
        )

    def _inputs(self, given: LayerDescription, where: str) -> tuple[Source, ...]:
        position = self.order.index(given.index)
        named = given.in_sequences
        require(constraint_executed_sources, DescribedSources(where, given, named or (), self.order[:position]))
        sources = named or (self.order[position - 1] if position else INPUT,)
        return tuple(self._source(source) for source in sources)

    def _source(self, source: int) -> Source:
        if source == INPUT:
            return network_layer.INPUT
        return network_layer.BUFFER if source == BUFFER else self.names[source]

    def _parameters(self, given: LayerDescription, where: str) -> Parameters | None:
        if given.weight_source is None:
            return self.parameters.get(given.index) if given.takes_parameters else None
        source = self.parameters.get(given.weight_source)
        if not self.parameters and self.description.layers[given.weight_source].takes_parameters:
            return None  # the weights are not known (yet)
        require(constraint_weight_source, SharingLayer(where, given, found=source is not None))
        assert source is not None
        rows, columns = source.weights.shape[2:]
        require(constraint_shared_kernel, SharingLayer(where, given, shared_kernel=(rows, columns)))
        own = replace(source, bits=given.quantization or 8, described=described(given))
        implicit = 8 - abs(source.bits) - (8 - abs(own.bits))
        return replace(own, shift=source.shift + implicit)

    def buffer(self) -> Buffer | None:
        """Return the rolling buffer; None if there is none."""
        given = self.description.data_buffer
        return None if given is None else Buffer(given.name, given.channels, given.dim)

    def check_joined(self, network: Network) -> None:
        """Check the rules of descriptions about joined sources."""
        for layer in network.layers:
            given = self.description.layers[layer.index]
            sources = given.in_sequences or ()
            channels = [network[self.names[s]].channels_out if s >= 0 else network.input_shape[0] for s in sources]
            require(constraint_joined_channels, DescribedSources(layer.where, given, sources, (), tuple(channels)))

    def placement(self, network: Network) -> Placement:
        """Return the placement of `network`."""
        layers = {self.names[index]: self._layer_placement(network, index) for index in sorted(self.order)}
        buffer = self.description.data_buffer
        simulated = self._simulated()
        return Placement(
            layers=layers,
            order=tuple(self.names[index] for index in self.order),
            chw=self.description.layers[self.order[0]].chw,
            layout_given=self.description.layers[self.order[0]].layout_given,
            unload=self.description.unload,
            buffer=None if buffer is None else BufferPlacement(buffer.processors, buffer.offset),
            snoop=self.description.snoop,
            simulated=None if simulated == self.order else tuple(self.names[index] for index in simulated),
        )

    def _simulated(self) -> list[int]:
        following = dict(zip(self.order, [*self.order[1:], STOP], strict=True))
        simulated: list[int] = []
        index = self.order[0]
        while index in following and len(simulated) <= len(self.order):
            simulated.append(index)
            given = self.description.layers[index].simulated_sequence
            index = following[index] if given is None else given
        return simulated

    def _layer_placement(self, network: Network, index: int) -> LayerPlacement:
        given = self.description.layers[index]
        position = self.order.index(index)
        target = given.snoop_sequence
        return LayerPlacement(
            processors=given.processors,
            output_processors=self._output_processors(given, network[index].channels_out, position),
            in_offset=self._input_offset(given, position),
            out_offset=self._out_offset(given),
            write_gap=given.write_gap,
            read_gap=given.read_gap,
            bias_groups=given.bias_groups,
            streaming=given.streaming and not self.options.ignore_streaming,
            readahead=given.readahead,
            tcalc=given.tcalc,
            calcx4=given.calcx4,
            snoop_target=None if target is None else self.names[target],
        )

    def _input_offset(self, given: LayerDescription, position: int) -> int | None:
        if position == 0 and self.options.input_offset is not None:
            return self.options.input_offset
        if given.in_offset is not None:
            return given.in_offset
        if not self.description.is_placed:
            return None
        if position == 0:
            return 0
        return self._out_offset(self.description.layers[self.order[position - 1]])

    def _out_offset(self, given: LayerDescription) -> int | None:
        return 0 if given.out_offset is None and self.description.is_placed else given.out_offset

    def _output_processors(self, given: LayerDescription, channels: int, position: int) -> int | None:
        layers = self.description.layers
        if not self.description.is_placed:
            return given.output_processors or (self.description.output_map if position + 1 == len(self.order) else None)
        if position + 1 < len(self.order):
            return given.output_processors or layers[self.order[position + 1]].processors
        if self.description.output_map is not None:
            return self.description.output_map
        if given.output_processors is not None:
            return given.output_processors
        stopped = given.index == self.options.stop_after and given.index + 1 < len(layers)
        if stopped and given.next_sequence != STOP:
            return layers[given.index + 1 if given.next_sequence is None else given.next_sequence].processors
        return processor_map_for(channels)


def _width_and_shift(given: LayerDescription, parameters: Parameters | None) -> tuple[int, int]:
    """Return (weight bits, total output shift)."""
    if parameters is not None:
        return parameters.bits, parameters.shift + 8 - abs(parameters.bits)
    default = 7 if given.bypass else 0
    bits = given.quantization or (8 if given.bypass else 0)
    return bits, default if given.output_shift is None else given.output_shift
