"""Operation counts, memory use and estimated time of a mapped network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai8x_tool.mapping.cycles import START_UP_CYCLES, cycle_basis, cycle_factor, layer_cycles
from ai8x_tool.mapping.energy import Estimate, estimate
from ai8x_tool.mapping.mapping import LayerMapping, Mapping
from ai8x_tool.mapping.regions import layer_region
from ai8x_tool.network.layer import Layer


@dataclass(frozen=True)
class Operations:
    """Number of operations of a layer or a network, by kind."""

    macc: int = 0
    comparisons: int = 0
    additions: int = 0
    multiplications: int = 0
    bitwise: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def total(self) -> int:
        """All operations."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class LayerStatistics:
    """Figures of one layer. Memory in bytes; data memory is per instance of four processors."""

    index: int
    name: str | None
    operator: str
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    operations: Operations
    weight_bytes: int
    bias_bytes: int
    input_bytes: int
    output_bytes: int
    cycles: int


@dataclass(frozen=True)
class Statistics:
    """Figures of a mapped network. `cycle_basis` describes the accuracy of `cycles` and `microseconds`; `estimate`
    contains more exact figures."""

    layers: tuple[LayerStatistics, ...]
    operations: Operations
    weight_bytes: int
    weight_total: int
    bias_bytes: int
    bias_total: int
    cycles: int
    microseconds: float
    cycle_basis: str
    estimate: Estimate

    def document(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        from dataclasses import asdict  # noqa: PLC0415  (JSON only)

        return asdict(self)


def statistics(mapping: Mapping, *, clock_mhz: float = 50.0, pipeline: bool = False) -> Statistics:
    """Return the figures of `mapping` at an accelerator clock of `clock_mhz`, with or without the pipeline."""
    factor = cycle_factor(mapping.device, pipeline=pipeline)
    layers = tuple(_layer_statistics(mapping, mapped, factor) for mapped in mapping.layers)
    operations = sum((layer.operations for layer in layers), Operations())
    cycles = START_UP_CYCLES + sum(layer.cycles for layer in layers)
    streams = any(mapped.streaming for mapped in mapping.layers)
    return Statistics(
        layers=layers,
        operations=operations,
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        weight_total=mapping.device.weight_bytes,
        bias_bytes=sum(map(len, mapping.bias_bytes.values())),
        bias_total=4 * mapping.device.bias_size,
        cycles=cycles,
        microseconds=cycles / clock_mhz,
        cycle_basis=cycle_basis(mapping.device, pipeline=pipeline, streams=streams),
        estimate=estimate(mapping, clock_mhz=clock_mhz, pipeline=pipeline),
    )


def _layer_statistics(mapping: Mapping, mapped: LayerMapping, factor: float) -> LayerStatistics:
    layer, view = mapped.layer, mapped.view
    pixels = layer.in_size[0] * layer.in_size[1]
    per_pixel = 1 if mapped.chw else 4 * view.input_passes * layer.operands
    return LayerStatistics(
        index=layer.index,
        name=layer.name if layer.is_named else None,
        operator=operator_text(layer),
        input_shape=(layer.channels_in * layer.operands, *layer.in_size),
        output_shape=(layer.channels_out, *layer.out_size),
        operations=layer_operations(mapped),
        weight_bytes=mapping.weight_bytes(layer.index),
        bias_bytes=layer.channels_out if layer.has_bias else 0,
        input_bytes=pixels * per_pixel,
        output_bytes=output_bytes(mapped),
        cycles=round(factor * layer_cycles(mapped)),
    )


def output_bytes(mapped: LayerMapping) -> int:
    """Return the bytes that a layer's output occupies in each instance of data memory, including gaps."""
    region = layer_region(mapped)
    words = (region.pixels + mapped.view.extra_words) * mapped.view.output_passes * region.width // 8
    return 4 * words * (region.gap + 1)


def operator_text(layer: Layer) -> str:
    """Return a description of a layer's operations: pooling, operation, kernel, activation."""
    names = {"none": "passthrough", "convtranspose2d": "conv-transpose2d"}
    parts = []
    if layer.has_pool:
        size = "×".join(map(str, layer.pool if layer.pool[1] > 1 or layer.operator != "conv1d" else layer.pool[:1]))
        parts.append(f"{'avg' if layer.pool_average else 'max'}-pool {size}")
    if layer.eltwise:
        parts.append(f"{layer.eltwise}({layer.operands})")
    if layer.flatten:
        parts.append("flatten")
    if layer.is_convolution or not parts:
        kernel = layer.kernel[:1] if layer.operator == "conv1d" else layer.kernel
        size = "" if layer.operator in ("linear", "none") else " " + "×".join(map(str, kernel))
        parts.append(("depthwise " if layer.depthwise else "") + names.get(layer.operator, layer.operator) + size)
    if layer.activation != "none":
        parts.append({"relu": "ReLU", "abs": "Abs"}[layer.activation])
    return " + ".join(parts)


def multiplications(layer: Layer) -> int:
    """Return the number of multiplications by weights in a layer."""
    if not layer.is_convolution:
        return 0
    outputs = layer.channels_out * layer.out_size[0] * layer.out_size[1]
    taps = layer.kernel[0] * layer.kernel[1]
    return layer.channels_in * layer.flat_pixels // layer.groups * taps * outputs


def layer_operations(mapped: LayerMapping) -> Operations:
    """Return the operations of one layer."""
    layer, view = mapped.layer, mapped.view
    comparisons = additions = bitwise = macc = 0
    pooled = layer.channels_in * layer.pooled_size[0] * layer.pooled_size[1]
    if layer.has_pool:
        operands = layer.operands if layer.pool_first else 1
        work = layer.pool[0] * layer.pool[1] * pooled * operands
        comparisons, additions = (0, work) if layer.pool_average else (work, 0)
    if layer.eltwise:
        size = layer.pooled_size if layer.pool_first else layer.in_size
        work = (layer.operands - 1) * layer.channels_in * size[0] * size[1]
        if layer.eltwise in ("add", "sub"):
            additions += work
        else:
            bitwise += work
    outputs = layer.channels_out * layer.out_size[0] * layer.out_size[1]
    if layer.is_convolution:
        widened = layer.kernel == (1, 1) and view.kernel == (3, 3)
        macc = multiplications(layer) * (9 if widened else 1)
    if layer.activation != "none":
        comparisons += outputs
    return Operations(macc, comparisons, additions, 0, bitwise)
