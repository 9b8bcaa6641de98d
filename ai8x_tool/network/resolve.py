"""From description, parameters and sample shape to a resolved network. spec: registers, section 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.description import (
    BUFFER,
    INPUT,
    STOP,
    LayerDescription,
    NetworkDescription,
    Pair,
)
from ai8x_tool.network.dimensions import map_for, output_size, pooled_size
from ai8x_tool.network.network import Layer, Network, Parameters


@dataclass(frozen=True)
class ResolveOptions:
    """Options that change the network itself."""

    stop_after: int | None = None
    start_layer: int = 0
    input_offset: int | None = None
    output_width: int | None = None
    ignore_streaming: bool = False
    ignore_activation: bool = False


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
    _check_contiguous(description, layers)
    layers = _mark_outputs(layers, order[-1], console)
    has_bias = any(p.bias is not None for p in parameters.values())
    return Network(description, device, layers, tuple(order), input_shape, has_bias)


def _with_options(description: NetworkDescription, options: ResolveOptions) -> NetworkDescription:
    layers = description.layers
    if options.ignore_streaming:
        layers = tuple(replace(layer, streaming=False) for layer in layers)
    if options.ignore_activation:
        layers = tuple(replace(layer, activation="none") for layer in layers)
    return replace(description, layers=layers)


def _execution_order(
    description: NetworkDescription, device: Device, console: Console, options: ResolveOptions
) -> list[int]:
    layers = description.layers
    if not 0 <= options.start_layer < len(layers):
        raise Ai8xError(f"start layer {options.start_layer} does not exist", fix=f"0 … {len(layers) - 1}")
    if options.stop_after is not None and not 0 <= options.stop_after < len(layers):
        raise Ai8xError(f"layer {options.stop_after} to stop after does not exist", fix=f"0 … {len(layers) - 1}")
    order: list[int] = []
    index = options.start_layer
    while index != STOP:
        if index in order:
            raise Ai8xError("the execution order returns to a layer", where=description.where(layers[index]))
        order.append(index)
        index = STOP if index == options.stop_after else _successor(description, layers[index], device, console)
    return order


def _successor(description: NetworkDescription, layer: LayerDescription, device: Device, console: Console) -> int:
    default = layer.index + 1 if layer.index + 1 < len(description.layers) else STOP
    following = default if layer.next_sequence is None else layer.next_sequence
    if following not in (default, STOP) and not device.next_layer:
        raise Ai8xError(
            f"next_sequence = {following}: the {device.name} executes layers in list order",
            where=description.where(layer),
            fix="reorder the layers",
        )
    if following >= len(description.layers):
        console.warn(f"{description.where(layer)}: next_sequence = {following} does not exist: the network ends here")
        return STOP
    return following


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
        if 0 in pooled:
            raise _too_small("pooling", given.pool, size, where)
        out = output_size(given, pooled)
        if min(out) < 1:
            raise _too_small("the kernel", given.kernel, pooled, where)
        pixels = pooled[0] * pooled[1] if given.flatten else 1
        channels_in = self._channels_in(given, parameters, previous, pixels, where)
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
        if source is None:
            raise Ai8xError(f"weight_source = {given.weight_source}: this layer has no weights", where=where)
        if source.weights.shape[2:] != given.kernel:
            sizes = " and ".join("×".join(map(str, size)) for size in (source.weights.shape[2:], given.kernel))
            rule = "layers that share weights have the same kernel size"
            raise Ai8xError(f"weight_source = {given.weight_source}: {rule}, not {sizes}", where=where)
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

    def _check_sources(self, given: LayerDescription, where: str) -> tuple[int, ...]:
        sources = given.in_sequences or ()
        for source in sources:
            if source >= 0 and source not in self.done:
                raise Ai8xError(f"in_sequences = {source}: no such layer is executed before this one", where=where)
        channels = {self._source(s)[0] for s in sources if s != BUFFER}
        if len(channels) > 1:
            raise Ai8xError(
                f"the sources {list(sources)} have different channel counts ({sorted(channels)})",
                where=where,
                fix="all sources of one layer need the same number of channels",
            )
        return sources

    def _input_size(self, given: LayerDescription, previous: int, where: str) -> Pair:
        sources = self._check_sources(given, where) or (previous,)
        sizes = [self._source(s)[1] for s in sources]
        if given.in_dim is None:
            if len(set(sizes)) > 1:
                raise Ai8xError(
                    f"the sources {list(sources)} have different sizes ({sizes})", where=where, fix="give in_dim"
                )
            return sizes[0]
        if given.in_sequences is not None and BUFFER not in sources:
            wanted = (given.in_dim[0] + sum(given.in_crop)) * given.in_dim[1]
            have = sum(rows * columns for rows, columns in sizes)
            if wanted != have:
                raise Ai8xError(f"in_dim needs {wanted} pixels per channel, the sources have {have}", where=where)
        return given.in_dim

    def _channels_in(
        self, given: LayerDescription, parameters: Parameters | None, previous: int, pixels: int, where: str
    ) -> int:
        groups = given.groups if given.operator != "convtranspose2d" else 1
        needed = None if parameters is None else int(parameters.weights.shape[1]) * groups
        if needed is not None and needed % pixels:
            raise Ai8xError(
                f"flatten: {needed} weights per output cannot be divided among {pixels} pixels", where=where
            )
        needed = None if needed is None else needed // pixels
        have = given.in_channels or self._offered_channels(given, previous)
        if needed is None:
            return have
        if (given.in_sequences is not None or given.in_channels is not None) and needed != have:
            source = "in_channels says" if given.in_channels else f"the sources {list(given.in_sequences or ())} give"
            raise Ai8xError(
                f"the weights expect {needed} input channels, {source} {have}",
                where=where,
                fix="check in_sequences and the order of layers and checkpoint entries",
            )
        return needed

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
    if given.out_channels not in (None, channels):
        raise Ai8xError(f"out_channels = {given.out_channels}, but the weights have {channels} outputs", where=where)
    return channels


def _width_and_shift(given: LayerDescription, parameters: Parameters | None) -> tuple[int, int]:
    """Return (weight bits, total output shift)."""
    if parameters is not None:
        return parameters.bits, parameters.shift + 8 - abs(parameters.bits)
    default = 7 if given.bypass else 0
    bits = given.quantization or (8 if given.bypass else 0)
    return bits, default if given.output_shift is None else given.output_shift


def _too_small(what: str, window: Pair, size: Pair, where: str) -> Ai8xError:
    w, s = "×".join(map(str, window)), "×".join(map(str, size))
    return Ai8xError(f"{what} ({w}) is larger than the data ({s}): the output would be empty", where=where)


def _check_contiguous(description: NetworkDescription, layers: tuple[Layer, ...]) -> None:
    have = {layer.index for layer in layers}
    for index in range(layers[0].index, layers[-1].index):
        if index not in have:
            raise Ai8xError("this layer is never executed", where=description.where(description.layers[index]))


def _mark_outputs(layers: tuple[Layer, ...], final: int, console: Console) -> tuple[Layer, ...]:
    if not any(layer.output for layer in layers):
        return tuple(replace(layer, output=True) if layer.index == final else layer for layer in layers)
    for layer in layers:
        if layer.index == final and not layer.output:
            console.warn(f"{layer.where}: other layers are marked as output, but the last one is not")
    return layers
