"""The mapping of a network onto the accelerator: a complete placement that breaks no rule, with memory images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ai8x_tool.device.bits import bit_indices, quadrant_bits
from ai8x_tool.device.facts import QUADRANTS, Device
from ai8x_tool.mapping.bias_memory import BiasMemory, BiasPlacement
from ai8x_tool.mapping.check import layer_violations
from ai8x_tool.mapping.check_data import data_violations
from ai8x_tool.mapping.hardware import tram_depth
from ai8x_tool.mapping.kernel_memory import KernelMemory, KernelPlacement
from ai8x_tool.mapping.memories import fill_bias_memory, fill_kernel_memory, used_quadrants
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork, place
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.network import Network
from ai8x_tool.rule import BrokenRuleError, Violation


@dataclass(frozen=True, eq=False)
class LayerMapping(PlacedLayer):
    """A mapped layer. `hardware_index` also counts the hidden accumulator-reset layers before it.

    `local_sources`: the output processors are unevenly spaced. `time_slots` is the number of steps, minus 1, in which a
    layer that does not sum writes its outputs; `flat_product` the number of words of a flattening layer's input, minus
    1; `tram` the number of entries of the compute cache; `tcalc` is used with read-ahead.
    """

    hardware_index: int
    resets_accumulator: bool
    local_sources: bool
    time_slots: int
    flat_product: int
    tram: int
    tcalc: bool
    kernels: KernelPlacement
    bias: BiasPlacement | None

    @property
    def quadrants(self) -> list[int]:
        """Quadrants that contain processors of this layer."""
        return [q for q in range(QUADRANTS) if quadrant_bits(self.processors, q)]


@dataclass(frozen=True, eq=False)
class Mapping:
    """A mapped network. `quadrants` are those in use; the first one is the master.

    `kernel_memory` and `bias_bytes` are the memory images.
    """

    placed: PlacedNetwork
    layers: tuple[LayerMapping, ...]
    quadrants: tuple[int, ...]
    kernel_memory: KernelMemory
    bias_bytes: dict[int, list[int]]

    @property
    def network(self) -> Network:
        """The network that is mapped."""
        return self.placed.network

    @property
    def placement(self) -> Placement:
        """The placement from which the mapping was made."""
        return self.placed.placement

    @property
    def options(self) -> MappingOptions:
        """Options of the mapping: input path and allocation of memories."""
        return self.placed.options

    @property
    def device(self) -> Device:
        """The target device."""
        return self.placed.device

    @property
    def start(self) -> LayerMapping:
        """The layer executed first."""
        return self[self.placement.start]

    @property
    def final(self) -> LayerMapping:
        """The layer executed last."""
        return self[self.placement.final]

    @property
    def hidden_layers(self) -> int:
        """Number of hidden accumulator-reset layers."""
        return sum(m.resets_accumulator for m in self.layers)

    def __getitem__(self, key: int | str) -> LayerMapping:
        index = self.network[key].index if isinstance(key, str) else key
        return self.layers[index - self.network.first]

    def weight_bytes(self, index: int) -> int:
        """Return the bytes of kernels that layer `index` stores; 0 if it shares those of another layer."""
        mapped = self[index]
        if not mapped.layer.has_weights or mapped.kernels.duplicate_of is not None:
            return 0
        kernels = mapped.layer.weight_shape
        taps = mapped.view.kernel_area
        return int(kernels[0] * kernels[1] * taps * abs(mapped.layer.bits) // 8)


def map_network(
    network: Network,
    placement: Placement,
    device: Device,
    options: MappingOptions | None = None,
) -> Mapping:
    """Return the mapping of `network`. Raises Ai8xError for the first violation of a rule.

    Layers whose weights are not known get a place in kernel memory, filled with zeros.
    """
    placed = place(network, placement, device, options or MappingOptions())
    raise_first(layer_violations(placed, errors_only=True))
    mapping = build_mapping(placed)
    raise_first(data_violations(placed))
    return mapping


def raise_first(found: Iterable[Violation]) -> None:
    """Raise the first error among `found` as BrokenRuleError; return if there is none."""
    for violation in found:
        if violation.severity == "error":
            raise BrokenRuleError(violation)


def build_mapping(placed: PlacedNetwork) -> Mapping:
    """Return the mapping of a placed network that has been verified. Raises Ai8xError if a memory is exhausted."""
    quadrants = used_quadrants(placed)
    kernel_memory = KernelMemory(placed.device, placed.options.weight_start)
    kernels = fill_kernel_memory(placed, kernel_memory)
    bias_memory = BiasMemory(placed.device)
    biases = fill_bias_memory(placed, bias_memory, quadrants)
    layers, hidden = [], 0
    for layer in placed.layers:
        resets = placed.resets_accumulator(layer)
        hidden += resets
        index = layer.layer.index
        kernel = kernels.get(index, KernelPlacement(placed.options.weight_start))
        layers.append(_layer_mapping(placed, layer, quadrants, (index + hidden, resets), kernel, biases.get(index)))
    return Mapping(placed, tuple(layers), quadrants, kernel_memory, bias_memory.bytes())


def _layer_mapping(
    placed: PlacedNetwork,
    layer: PlacedLayer,
    quadrants: tuple[int, ...],
    position: tuple[int, bool],
    kernels: KernelPlacement,
    bias: BiasPlacement | None,
) -> LayerMapping:
    view = layer.view
    rows, columns = view.pooled_size
    given = placed.placement.layers[layer.layer.name].tcalc
    return LayerMapping(
        **vars(layer),
        hardware_index=position[0],
        resets_accumulator=position[1],
        local_sources=_local_sources(layer, quadrants),
        time_slots=_time_slots(layer, quadrants),
        flat_product=view.input_passes * rows * columns - 1 if layer.layer.flatten else 0,
        tram=tram_depth(layer.layer, view),
        tcalc=layer.readahead and view.input_passes > 1 if given is None else given,
        kernels=kernels,
        bias=bias,
    )


def _local_sources(placed: PlacedLayer, quadrants: tuple[int, ...]) -> bool:
    """Return whether the output processors are unevenly spaced in a quadrant."""
    for quadrant in quadrants:
        positions = bit_indices(quadrant_bits(placed.output_map, quadrant))
        gaps = {b - a - 1 for a, b in pairwise(positions)}
        if len(gaps) > 1 or (placed.layer.operator == "none" and gaps - {0}):
            return True
    return False


def _time_slots(placed: PlacedLayer, quadrants: tuple[int, ...]) -> int:
    """Return the number of time slots, minus 1."""
    slots, layer = 0, placed.layer
    for quadrant in quadrants:
        count = quadrant_bits(placed.processors, quadrant).bit_count()
        if layer.operator == "none" and count:
            slots = max(slots, (count * layer.output_width // 8 - 1) // 4)
        elif placed.broadcast:
            slots = max(slots, (min(count - 1, 3) + 1) * (layer.output_width // 8) - 1)
        elif layer.depthwise:
            slots = max(slots, (count * layer.output_width + 7) // 8 - 1)
    return slots
