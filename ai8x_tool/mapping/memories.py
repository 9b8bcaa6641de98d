"""Requests of the layers of a placed network for kernel memory and bias memory, and their allocation."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device.bits import quadrant_bits
from ai8x_tool.device.facts import PARALLEL_OUTPUTS, QUADRANTS
from ai8x_tool.mapping.bias_memory import BiasMemory, BiasPlacement, BiasRequest
from ai8x_tool.mapping.kernel_allocation import KernelAllocation, KernelPlacement, KernelRequest
from ai8x_tool.mapping.kernel_memory import KernelMemory
from ai8x_tool.mapping.kernel_stream import stream_shape
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork
from ai8x_tool.mapping.rules.memory_rules import STORED_RULES, StoredLayer, UsedQuadrants, constraint_quadrant_0
from ai8x_tool.network.layer import IntArray
from ai8x_tool.rule import require


def used_quadrants(placed: PlacedNetwork) -> tuple[int, ...]:
    """Return the quadrants that contain input processors or the final output, ascending.

    Raises Ai8xError if quadrant 0 is not among them.
    """
    union = placed.final.output_map
    for layer in placed.layers:
        union |= layer.processors
    quadrants = tuple(q for q in range(QUADRANTS) if quadrant_bits(union, q))
    require(constraint_quadrant_0, UsedQuadrants(placed.start.where, quadrants))
    return quadrants


def fill_kernel_memory(placed: PlacedNetwork, memory: KernelMemory | KernelAllocation) -> dict[int, KernelPlacement]:
    """Allocate the kernels of all layers; return their placements by layer index. Raises Ai8xError without space."""
    requests = [_kernel_request(placed, layer) for layer in placed.layers if layer.layer.has_weights]
    return memory.place_all(requests, deduplicate=placed.options.deduplicate)


def fill_bias_memory(placed: PlacedNetwork, memory: BiasMemory, quadrants: tuple[int, ...]) -> dict[int, BiasPlacement]:
    """Allocate the biases of all layers; return their placements by layer index. Raises Ai8xError without space."""
    return memory.place_all([_bias_request(placed, at, quadrants) for at in placed.layers if at.layer.has_bias])


def _kernel_request(placed: PlacedNetwork, at: PlacedLayer) -> KernelRequest:
    layer, view = at.layer, at.view
    quad = placed.options.quad and at.layer is placed.start.layer
    shape = stream_shape(at)
    block = QUADRANTS * shape.per_byte if quad and shape.per_byte > 1 else 1
    for rule in STORED_RULES:
        require(rule, StoredLayer(layer, view.input_passes, view.inputs_per_pass, at.calcx4, block))
    previous_x4 = layer.index - 1 in placed.network and placed[layer.index - 1].calcx4
    return KernelRequest(
        index=layer.index,
        where=layer.where,
        processors=at.processors,
        shape=shape,
        weights=_kernels(at, shape.per_byte if quad else 1),
        shares=_weights_of(placed, at),
        quad=quad,
        calcx4=at.calcx4,
        mixed_x4=layer.index > 0 and at.calcx4 and not previous_x4,
    )


def _weights_of(placed: PlacedNetwork, at: PlacedLayer) -> int | None:
    """Return the index of the layer whose weights the layer shares; None if it has its own."""
    shares = at.layer.shares
    return None if shares is None or shares not in placed.network else placed.network[shares].index


def _kernels(at: PlacedLayer, per_byte: int) -> IntArray | None:
    """Return the kernels, with outputs in the order in which calcx4 and quad mode store them; None if not known.

    `per_byte` is the number of weights that share a byte in quad mode, 1 otherwise.
    """
    kernels = at.view.kernels
    if kernels is None:
        return None
    count = len(kernels)
    if at.calcx4 and not at.layer.flatten:
        kernels = kernels[np.arange(count).reshape(-1, PARALLEL_OUTPUTS).T.reshape(-1)]
    if per_byte > 1:
        order = np.arange(count).reshape(-1, per_byte, QUADRANTS).transpose(0, 2, 1)
        kernels = kernels[order.reshape(-1)]
    return kernels


def _bias_request(placed: PlacedNetwork, at: PlacedLayer, quadrants: tuple[int, ...]) -> BiasRequest:
    layer = at.layer
    allowed = at.bias_groups or quadrants
    if placed.options.ignore_bias_groups and not set(allowed) <= set(quadrants):
        allowed = quadrants
    streams_first = layer.index == 0 and at.streaming and not placed.device.streaming_bias
    return BiasRequest(
        index=layer.index,
        where=layer.where,
        values=layer.bias if layer.bias is not None else np.zeros(layer.channels_out, np.int64),
        known=layer.bias is not None,
        processors=at.processors,
        output_map=at.output_map,
        output_passes=at.view.output_passes,
        allowed=allowed,
        depthwise=layer.depthwise,
        broadcast=at.broadcast,
        quad=placed.options.quad and layer is placed.start.layer,
        flatten=layer.flatten,
        calcx4=at.calcx4,
        spare=int(streams_first),
    )
