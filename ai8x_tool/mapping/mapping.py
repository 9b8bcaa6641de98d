"""The mapping of a network onto the accelerator. spec: registers, sections 4 and 5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ai8x_tool.device.bits import bits_of, ones, quadrant_bits
from ai8x_tool.device.facts import QUADRANTS, Device
from ai8x_tool.mapping.bias_memory import BiasMemory, BiasPlacement, BiasRequest
from ai8x_tool.mapping.hardware import HardwareView, hardware_view, tram_depth
from ai8x_tool.mapping.kernel_memory import KernelMemory, KernelPlacement, KernelRequest
from ai8x_tool.mapping.kernel_stream import StreamShape
from ai8x_tool.mapping.rules.memory_rules import STORED_RULES, StoredLayer, UsedQuadrants, constraint_quadrant_0
from ai8x_tool.network.network import IntArray, Layer, Network
from ai8x_tool.rule import require

_PARALLEL = 4
"""Outputs that a layer with calcx4 computes at a time."""


@dataclass(frozen=True)
class MappingOptions:
    """Options that decide where things live."""

    weight_start: int = 0
    deduplicate: bool = True
    fifo: bool = False
    fast_fifo: bool = False
    quad: bool = False
    ignore_bias_groups: bool = False


@dataclass(frozen=True, eq=False)
class LayerMapping:
    """Where one layer lives. `hardware_index` counts the hidden accumulator-reset layers in front of it, too."""

    layer: Layer
    view: HardwareView
    processors: int
    output_map: int
    hardware_index: int
    resets_accumulator: bool
    broadcast: bool
    local_sources: bool
    time_slots: int
    flat_product: int
    tram: int
    tcalc: bool
    kernels: KernelPlacement
    bias: BiasPlacement | None

    @property
    def quadrants(self) -> list[int]:
        """Quadrants with processors of this layer."""
        return [q for q in range(QUADRANTS) if quadrant_bits(self.processors, q)]


@dataclass(frozen=True, eq=False)
class Mapping:
    """A network with a place for everything. `quadrants` are those in use; the first is the master.

    `kernel_memory` and `bias_bytes` hold the memory images.
    """

    network: Network
    options: MappingOptions
    layers: tuple[LayerMapping, ...]
    quadrants: tuple[int, ...]
    kernel_memory: KernelMemory
    bias_bytes: dict[int, list[int]]

    @property
    def device(self) -> Device:
        """The part that is mapped to."""
        return self.network.device

    @property
    def start(self) -> LayerMapping:
        """The layer that is executed first."""
        return self[self.network.start.index]

    @property
    def final(self) -> LayerMapping:
        """The layer that is executed last."""
        return self[self.network.final.index]

    @property
    def hidden_layers(self) -> int:
        """Number of hidden accumulator-reset layers."""
        return sum(m.resets_accumulator for m in self.layers)

    def __getitem__(self, index: int) -> LayerMapping:
        return self.layers[index - self.network.first]

    def weight_bytes(self, index: int) -> int:
        """Bytes of kernels that layer `index` stores (0 if it shares another layer's)."""
        mapped = self[index]
        if mapped.view.kernels is None or mapped.kernels.duplicate_of is not None:
            return 0
        return int(mapped.view.kernels.size * abs(mapped.layer.bits) // 8)


def map_network(
    network: Network,
    options: MappingOptions,
    check: Callable[[list[tuple[Layer, HardwareView]]], None] = lambda views: None,
) -> Mapping:
    """Place everything. `check` sees the layers as the hardware executes them before anything is placed.

    Raises Ai8xError where a memory is exhausted.
    """
    views = [(layer, hardware_view(network, layer)) for layer in network.layers]
    check(views)
    quadrants = used_quadrants(network, options)
    kernel_memory = KernelMemory(network.device, options.weight_start)
    requests = [_kernel_request(network, layer, view, options) for layer, view in views if view.kernels is not None]
    kernels = kernel_memory.place_all(requests, deduplicate=options.deduplicate)
    bias_memory = BiasMemory(network.device)
    biases = bias_memory.place_all(
        [_bias_request(network, layer, view, options, quadrants) for layer, view in views if layer.bias is not None]
    )
    layers, hidden = [], 0
    for layer, view in views:
        resets = resets_accumulator_before(network, layer)
        hidden += resets
        layers.append(
            _layer_mapping(
                network,
                layer,
                view,
                options,
                quadrants,
                hardware_index=layer.index + hidden,
                resets=resets,
                kernels=kernels.get(layer.index, KernelPlacement(options.weight_start)),
                bias=biases.get(layer.index),
            )
        )
    return Mapping(network, options, tuple(layers), quadrants, kernel_memory, bias_memory.bytes())


def input_processors(network: Network, layer: Layer, options: MappingOptions) -> int:
    """Return the layer's processor map; in quad mode the first layer's is repeated in all quadrants."""
    if not options.quad or layer.index != network.start.index:
        return layer.processors
    return sum(layer.processors << 16 * q for q in range(QUADRANTS)) & ((1 << 64) - 1)


def used_quadrants(network: Network, options: MappingOptions) -> tuple[int, ...]:
    """Return the quadrants with any input processor or final output, ascending."""
    union = network.final.output_map
    for layer in network.layers:
        union |= input_processors(network, layer, options)
    quadrants = tuple(q for q in range(QUADRANTS) if quadrant_bits(union, q))
    require(constraint_quadrant_0, UsedQuadrants(network.start.where, quadrants))
    return quadrants


def _layer_mapping(
    network: Network,
    layer: Layer,
    view: HardwareView,
    options: MappingOptions,
    quadrants: tuple[int, ...],
    *,
    hardware_index: int,
    resets: bool,
    kernels: KernelPlacement,
    bias: BiasPlacement | None,
) -> LayerMapping:
    processors = input_processors(network, layer, options)
    broadcast = layer.depthwise and processors == layer.output_map
    rows, columns = view.pooled_size
    return LayerMapping(
        layer=layer,
        view=view,
        processors=processors,
        output_map=layer.output_map,
        hardware_index=hardware_index,
        resets_accumulator=resets,
        broadcast=broadcast,
        local_sources=_local_sources(layer, quadrants),
        time_slots=_time_slots(layer, processors, quadrants, broadcast=broadcast),
        flat_product=view.input_passes * rows * columns - 1 if layer.flatten else 0,
        tram=tram_depth(layer, view),
        tcalc=layer.readahead and view.input_passes > 1 if layer.tcalc is None else layer.tcalc,
        kernels=kernels,
        bias=bias,
    )


def resets_accumulator_before(network: Network, layer: Layer) -> bool:
    """Whether the MAX78002 needs a hidden layer that clears the pooling accumulator. spec: registers, 3.4."""
    follows = layer.previous in network and network[layer.previous].operands > 1
    return network.device.next_layer and layer.index > 0 and layer.pool_average and follows


def _local_sources(layer: Layer, quadrants: tuple[int, ...]) -> bool:
    """Whether the output processors are unevenly spaced in a quadrant. spec: registers, section 4.13."""
    for quadrant in quadrants:
        positions = bits_of(quadrant_bits(layer.output_map, quadrant))
        gaps = {b - a - 1 for a, b in pairwise(positions)}
        if len(gaps) > 1 or (layer.operator == "none" and gaps - {0}):
            return True
    return False


def _time_slots(layer: Layer, processors: int, quadrants: tuple[int, ...], *, broadcast: bool) -> int:
    """Return the number of time slots, minus 1. spec: registers, section 4.14."""
    slots = 0
    for quadrant in quadrants:
        count = ones(quadrant_bits(processors, quadrant))
        if layer.operator == "none" and count:
            slots = max(slots, (count * layer.output_width // 8 - 1) // 4)
        elif broadcast:
            slots = max(slots, (min(count - 1, 3) + 1) * (layer.output_width // 8) - 1)
        elif layer.depthwise:
            slots = max(slots, (count * layer.output_width + 7) // 8 - 1)
    return slots


def stream_shape(layer: Layer, view: HardwareView) -> StreamShape:
    """Return what the order of a layer's kernels depends on."""
    return StreamShape(
        output_map=layer.output_map,
        inputs=layer.channels_in,
        outputs=layer.channels_out,
        input_passes=view.input_passes,
        output_passes=view.output_passes,
        inputs_per_pass=view.inputs_per_pass,
        outputs_per_pass=view.outputs_per_pass,
        area=view.kernel_area,
        bits=layer.bits,
        pixels=layer.flat_pixels,
        flatten=layer.flatten,
        depthwise=layer.depthwise,
    )


def _kernel_request(network: Network, layer: Layer, view: HardwareView, options: MappingOptions) -> KernelRequest:
    assert view.kernels is not None
    quad = options.quad and layer.index == network.start.index
    shape = stream_shape(layer, view)
    block = QUADRANTS * shape.per_byte if quad and shape.per_byte > 1 else 1
    for rule in STORED_RULES:
        require(rule, StoredLayer(layer, view.input_passes, view.inputs_per_pass, block))
    previous_x4 = layer.index - 1 in network and network[layer.index - 1].calcx4
    return KernelRequest(
        index=layer.index,
        where=layer.where,
        processors=input_processors(network, layer, options),
        shape=shape,
        weights=_reordered(layer, view.kernels, shape.per_byte if quad else 1),
        quad=quad,
        calcx4=layer.calcx4,
        mixed_x4=layer.index > 0 and layer.calcx4 and not previous_x4,
    )


def _reordered(layer: Layer, kernels: IntArray, per_byte: int) -> IntArray:
    """Return the kernels with outputs in the order that calcx4 and quad mode store them. spec: memory, 3.9, 3.10.

    `per_byte` weights share a byte in quad mode; 1 otherwise.
    """
    count = len(kernels)
    if layer.calcx4 and not layer.flatten:
        kernels = kernels[np.arange(count).reshape(-1, _PARALLEL).T.reshape(-1)]
    if per_byte > 1:
        order = np.arange(count).reshape(-1, per_byte, QUADRANTS).transpose(0, 2, 1)
        kernels = kernels[order.reshape(-1)]
    return kernels


def _bias_request(
    network: Network, layer: Layer, view: HardwareView, options: MappingOptions, quadrants: tuple[int, ...]
) -> BiasRequest:
    assert layer.bias is not None
    processors = input_processors(network, layer, options)
    allowed = layer.bias_groups or quadrants
    if options.ignore_bias_groups and not set(allowed) <= set(quadrants):
        allowed = quadrants
    streams_first = layer.index == 0 and layer.streaming and not network.device.streaming_bias
    return BiasRequest(
        index=layer.index,
        where=layer.where,
        values=layer.bias,
        processors=processors,
        output_map=layer.output_map,
        output_passes=view.output_passes,
        allowed=allowed,
        depthwise=layer.depthwise,
        broadcast=layer.depthwise and processors == layer.output_map,
        quad=options.quad and layer.index == network.start.index,
        flatten=layer.flatten,
        calcx4=layer.calcx4,
        spare=int(streams_first),
    )
