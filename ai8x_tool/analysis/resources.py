"""Use of a device's memories by a network."""

from __future__ import annotations

from ai8x_tool.analysis.buffers import data_buffers, fullest_instance
from ai8x_tool.analysis.result import Resource
from ai8x_tool.device import Device
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, QUADRANTS
from ai8x_tool.mapping.mapping import Mapping
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network

LAYERS, KERNELS, COLUMNS = "layers", "kernel memory", "kernel columns"
BIAS, QUADRANT_BIAS, DATA = "bias memory", "bias of a quadrant", "data memory"


def used_resources(mapping: Mapping) -> tuple[Resource, ...]:
    """Return how much of each memory a mapped network uses."""
    device, filled = mapping.device, mapping.kernel_memory.loaded.sum(axis=1)
    shares = [int(filled[p]) / device.kernel_columns(p) for p in range(PROCESSORS)]
    fullest = max(range(PROCESSORS), key=shares.__getitem__)
    words, instance, step = fullest_instance(data_buffers(mapping), device.instance_size // 4)
    biases = {quadrant: len(values) for quadrant, values in mapping.bias_bytes.items()}
    quadrant = max(biases, key=biases.__getitem__, default=0)
    return (
        Resource(LAYERS, len(mapping.layers) + mapping.hidden_layers, device.layers, "layers"),
        Resource(KERNELS, COLUMN_BYTES * int(filled.sum()), device.weight_bytes, "bytes"),
        Resource(COLUMNS, int(filled[fullest]), device.kernel_columns(fullest), "columns", f"processor {fullest}"),
        Resource(BIAS, sum(biases.values()), QUADRANTS * device.bias_size, "bytes"),
        Resource(QUADRANT_BIAS, biases.get(quadrant, 0), device.bias_size, "bytes", f"quadrant {quadrant}"),
        Resource(DATA, 4 * words, device.instance_size, "bytes", _when(mapping, instance, step)),
    )


def _when(mapping: Mapping, instance: int, step: int) -> str:
    when = "before the first layer" if step < 0 else mapping.network[mapping.placement.order[step]].label
    return f"processors {4 * instance} to {4 * instance + 3}, {when}"


def needed_resources(network: Network, device: Device) -> tuple[Resource, ...]:
    """Return the minimum of each memory that a network needs with any placement."""
    layers = network.layers
    weights = sum(_weight_bits(layer) for layer in layers if layer.has_weights and layer.shares is None) // 8
    biases = sum(layer.channels_out for layer in layers if layer.has_bias)
    largest = max(layers, key=_output_bytes)
    return (
        Resource(LAYERS, len(layers), device.layers, "layers"),
        Resource(KERNELS, weights, device.weight_bytes, "bytes"),
        Resource(BIAS, biases, QUADRANTS * device.bias_size, "bytes"),
        Resource(DATA, _output_bytes(largest), device.instance_size, "bytes", f"output of {largest.label}"),
    )


def _weight_bits(layer: Layer) -> int:
    outputs, inputs, rows, columns = layer.weight_shape
    return outputs * inputs * rows * columns * abs(layer.bits)


def _output_bytes(layer: Layer) -> int:
    """Return the bytes of a layer's output in each instance that contains any of it."""
    rounds = -(-layer.channels_out // PROCESSORS)
    return layer.out_size[0] * layer.out_size[1] * rounds * layer.output_width // 2
