"""Metrics of the layers of a network, with and without a placement."""

from __future__ import annotations

from dataclasses import replace

from ai8x_tool.analysis.result import LayerMetrics
from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.cycles import CycleParts, estimated_parts, fewest_kernel_reads, kernel_reads, minimum_parts
from ai8x_tool.mapping.energy import inference_joules
from ai8x_tool.mapping.hardware import hardware_view
from ai8x_tool.mapping.mapping import LayerMapping, Mapping
from ai8x_tool.mapping.statistics import multiplications, operator_text, output_bytes
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes

_PARALLEL = 4
"""Outputs that a layer with calcx4 computes at once."""


def placed_metrics(mapping: Mapping, *, clock_mhz: float, pipeline: bool) -> tuple[LayerMetrics, ...]:
    """Return the metrics of all layers of a mapped network, in the order of execution."""
    return tuple(
        _placed(mapping, mapping[name], clock_mhz=clock_mhz, pipeline=pipeline) for name in mapping.placement.order
    )


def _placed(mapping: Mapping, mapped: LayerMapping, *, clock_mhz: float, pipeline: bool) -> LayerMetrics:
    parts, reads = estimated_parts(mapped, pipeline=pipeline), kernel_reads(mapped)
    at_a_time = _PARALLEL if mapped.calcx4 else 1
    written = output_bytes(mapped)
    base = layer_metrics(mapped.layer, parts)
    return replace(
        base,
        passes=mapped.view.input_passes,
        processors=mapped.processors,
        utilization=reads / (PROCESSORS * at_a_time * max(1, parts.total)) if reads else None,
        weight_bytes=mapping.weight_bytes(mapped.layer.index),
        input_bytes=base.input_bytes // 4 if mapped.chw else base.input_bytes * (mapped.read_gap + 1),
        output_bytes=written,
        joules=inference_joules(parts.total, reads, clock_mhz),
    )


def minimum_metrics(network: Network, device: Device, *, clock_mhz: float, pipeline: bool) -> tuple[LayerMetrics, ...]:
    """Return the metrics of all layers without a placement: cycles and energy are the minimum over all placements.

    Layers that the device cannot execute at all have 0 cycles.
    """
    return tuple(_least(layer, device, clock_mhz=clock_mhz, pipeline=pipeline) for layer in network.layers)


def _least(layer: Layer, device: Device, *, clock_mhz: float, pipeline: bool) -> LayerMetrics:
    try:
        view = hardware_view(layer, device)
    except Ai8xError:
        return layer_metrics(layer, CycleParts(0, 0, 0, 0, 0))
    parts = minimum_parts(layer, view, pipeline=pipeline)
    reads = fewest_kernel_reads(layer, view)
    return replace(
        layer_metrics(layer, parts),
        utilization=reads / (PROCESSORS * max(1, parts.total)) if reads else None,
        joules=inference_joules(parts.total, reads, clock_mhz),
    )


def layer_metrics(layer: Layer, parts: CycleParts) -> LayerMetrics:
    """Return the metrics of a layer that do not depend on its placement, with the cycles in `parts`."""
    outputs, inputs, rows, columns = layer.weight_shape
    own = layer.has_weights and layer.shares is None
    pixels, results = layer.in_size[0] * layer.in_size[1], layer.out_size[0] * layer.out_size[1]
    return LayerMetrics(
        index=layer.index,
        name=layer.name if layer.is_named else "",
        operator=operator_text(layer),
        source=layer.source,
        inputs=tuple(map(source_name, layer.inputs)),
        input_shape=(layer.channels_in * layer.operands, *layer.in_size),
        output_shape=(layer.channels_out, *layer.out_size),
        passes=passes(layer.channels_in),
        processors=0,
        parts=parts,
        utilization=None,
        macs=multiplications(layer),
        weight_bits=abs(layer.bits) if layer.has_weights else 0,
        weight_bytes=outputs * inputs * rows * columns * abs(layer.bits) // 8 if own else 0,
        input_bytes=4 * pixels * passes(layer.channels_in) * layer.operands,
        output_bytes=results * passes(layer.channels_out) * layer.output_width // 2,
        joules=0.0,
    )


def source_name(source: Source) -> str:
    """Return the name of a source that a layer reads."""
    return {INPUT: "input", BUFFER: "buffer"}.get(source, str(source)) if not isinstance(source, str) else source
