"""Insertion of 1×1 convolutions that move data to processors from which layers can read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS
from ai8x_tool.mapper.classes import (
    ConflictingPlacesError,
    UnjoinableInputsError,
    WideClassError,
    input_layout,
    processor_classes,
    value_channels,
)
from ai8x_tool.mapper.interleave import distinct_names, interleave, with_layers, with_names
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import BINARY, BUFFER, Layer, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.selection import ZERO, identity_convolution, selection_layer
from ai8x_tool.network.sizes import passes, processors_per_pass

_FULL_BITS = 8


def with_moves(network: Network, device: Device) -> Network:
    """Return an equivalent network in which every layer can read its inputs together.

    `network` itself is returned if this already holds. Raises Ai8xError if no move helps.
    """
    start = network if all(layer.is_named for layer in network.layers) else with_names(network, distinct_names(network))
    changed = _with_pooling(_with_joined(_with_wide_weights(start)), device)
    for _ in range(device.layers):
        try:
            processor_classes(interleave(changed, device).network)
        except ConflictingPlacesError as error:
            changed = _moved(changed, error)
        except WideClassError as error:
            changed = _moved(changed, _tie(changed, error))
        else:
            break
    return network if changed is start else changed


class _Inserter:
    """Collects layers, with selections of channels under new names inserted before some of them."""

    def __init__(self, network: Network) -> None:
        self.network, self.layers = network, list[Layer]()
        self._names = {layer.name.lower() for layer in network.layers}

    def select(self, wanted: str, inputs: Sequence[Source], chosen: Sequence[int], channels: int, reader: Layer) -> str:
        """Append a layer that selects some of `channels` channels for `reader`; return its name."""
        name, number = wanted, 1
        while name.lower() in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name.lower())
        layer = selection_layer(
            name, inputs, chosen, channels, flat=_is_flat(self.network, reader), source=reader.source
        )
        self.layers.append(layer)
        return name

    def result(self) -> Network:
        """Return the network of the collected layers."""
        return with_layers(self.network, self.layers)


def _is_flat(network: Network, reader: Layer) -> bool:
    """Return whether the data that `reader` reads are 1D."""
    source = reader.inputs[0]
    rows, columns = network[source].out_size if isinstance(source, str) else network.input_shape[1:]
    return columns == 1 and rows > 1


def _tie(network: Network, error: WideClassError) -> ConflictingPlacesError:
    """Return the last input that ties values together, of a layer with several, because another such layer reads it.

    Raises `error` if there is none.
    """
    joining = [layer for layer in network.layers if len(layer.inputs) > 1]
    for layer in reversed(joining):
        for position, source in enumerate(layer.inputs):
            if source in error.sources and sum(source in other.inputs for other in joining) > 1:
                return ConflictingPlacesError(layer, position)
    raise error


def _moved(network: Network, error: ConflictingPlacesError) -> Network:
    """Return the network with the input moved that would have to be in two places at once."""
    if error.reader not in network:
        raise error
    inserter = _Inserter(network)
    for layer in network.layers:
        if layer.name != error.reader:
            inserter.layers.append(layer)
            continue
        inputs, position = list(layer.inputs), error.position
        count = value_channels(network, inputs[position])
        name = f"{layer.name}_moved{position}"
        inputs[position] = inserter.select(name, (inputs[position],), range(count), count, layer)
        inserter.layers.append(replace(layer, inputs=tuple(inputs)))
    return inserter.result()


# -- values that are joined ---------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """`used` channels of one input from `first` on, padded with zeros to `width`."""

    source: Source
    first: int
    used: int
    width: int


def _with_joined(network: Network) -> Network:
    """Return the network with inputs that cannot be joined padded by channels of zeros, which are dropped again."""
    wrong = [layer for layer in network.layers if not _can_join(network, layer)]
    if not wrong:
        return network
    inserter = _Inserter(network)
    for layer in network.layers:
        inserter.layers.append(_joined(network, layer, inserter) if layer in wrong else layer)
    return inserter.result()


def _can_join(network: Network, layer: Layer) -> bool:
    """Return whether a layer can read its inputs together and a description can express it (equal channel counts)."""
    try:
        input_layout(network, layer)
    except UnjoinableInputsError:
        return False
    counts = {value_channels(network, source) for source in layer.inputs if source is not BUFFER}
    return len(counts) <= 1  # none if the layer reads only the rolling buffer


def _joined(network: Network, layer: Layer, inserter: _Inserter) -> Layer:
    """Return `layer` reading a single value, into which its inputs are joined."""
    inputs: list[Source] = []
    kept: list[int] = []
    before = 0
    for part in _parts([(source, value_channels(network, source)) for source in layer.inputs]):
        count = value_channels(network, part.source)
        chosen = [*range(part.first, part.first + part.used), *[ZERO] * (part.width - part.used)]
        if part.used == part.width == count:
            inputs.append(part.source)
        else:
            name = f"{layer.name}_part{len(inputs)}"
            inputs.append(inserter.select(name, (part.source,), chosen, count, layer))
        kept += range(before, before + part.used)
        before += part.width
    return replace(layer, inputs=(inserter.select(f"{layer.name}_joined", inputs, kept, before, layer),))


def _parts(values: Sequence[tuple[Source, int]]) -> list[_Part]:
    """Divide `values`, given with their channels, into equal parts: side by side in one pass, or a pass each."""
    width = -(-max(count for _, count in values) // LANES) * LANES
    if width * len(values) > PROCESSORS:
        width = PROCESSORS
    return [_Part(source, first, count, width) for source, first, count in _pieces(values)]


def _pieces(values: Sequence[tuple[Source, int]]) -> Iterator[tuple[Source, int, int]]:
    """Yield source, first channel and number of channels of pieces that fit one pass."""
    for source, count in values:
        for first in range(0, count, PROCESSORS):
            yield source, first, min(PROCESSORS, count - first)


# -- layers replaced by equivalents that the hardware supports ------------------------------------------------------


def _with_wide_weights(network: Network) -> Network:
    """Return the network with weights of more bits where their own width cannot be stored, or mixed with others."""
    binary = any(layer.bits == BINARY for layer in network.layers)
    mixed = binary and any(layer.bits == 1 for layer in network.layers)
    wider: dict[str, int] = {}
    for layer in network.layers:
        owner = layer.shares or layer.name
        if mixed and layer.bits == BINARY:
            wider.setdefault(owner, 2)
        if _is_incomplete(layer):
            wider[owner] = _FULL_BITS
    if not wider:
        return network
    return with_layers(network, [_with_bits(layer, wider.get(layer.shares or layer.name)) for layer in network.layers])


def _is_incomplete(layer: Layer) -> bool:
    """Return whether the last pass leaves processors without kernels, which is possible for 8-bit weights only."""
    if not layer.has_weights or abs(layer.bits) == _FULL_BITS or layer.depthwise or layer.flatten:
        return False
    rounds = passes(layer.channels_in)
    single = layer.channels_out == 1 and layer.bits != BINARY
    return rounds > 1 and not single and rounds * processors_per_pass(layer.channels_in) != layer.channels_in


def _with_bits(layer: Layer, bits: int | None) -> Layer:
    """Return a layer with the same weights stored in `bits` bits."""
    if bits is None or layer.parameters is None:
        return layer if bits is None else replace(layer, bits=bits)
    given = layer.parameters
    shift = layer.shift - (_FULL_BITS - bits)
    parameters = replace(given, bits=bits, shift=shift, described=given.described | {"bits", "shift"})
    return replace(layer, parameters=parameters, bits=bits)


def _with_pooling(network: Network, device: Device) -> Network:
    """Return the network with convolutions instead of pooling layers that need more passes than the device allows."""

    def is_wrong(layer: Layer) -> bool:
        alone = not layer.is_convolution and layer.has_pool and layer.eltwise is None
        return alone and passes(layer.channels_in) > device.pooled_passes and layer.pooled_size != (1, 1)

    if not any(map(is_wrong, network.layers)):
        return network
    layers = []
    for layer in network.layers:
        layers.append(_computed(layer) if is_wrong(layer) else layer)
    return with_layers(network, layers)


def _computed(layer: Layer) -> Layer:
    """Return a layer without convolution as a convolution with identity weights."""
    made = identity_convolution(layer.name, layer.inputs, layer.channels_in, flat=layer.in_size[1] == 1)
    parameters = made.parameters
    return replace(layer, operator=made.operator, parameters=parameters, bits=0, shift=0, channels_out=0)
