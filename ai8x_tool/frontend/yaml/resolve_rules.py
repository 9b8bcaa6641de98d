"""Rules about the order of layers and the references between them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.frontend.yaml.description import BUFFER, STOP, LayerDescription
from ai8x_tool.network.layer import Pair
from ai8x_tool.rule import Finding


class ChosenLayers(NamedTuple):
    """The layers at which a network of `total` layers begins and ends according to the options."""

    start: int
    stop: int | None
    total: int
    where: str = ""


class OrderedLayer(NamedTuple):
    """A layer in the order of execution: `executed` are the layers before it, `following` is the next one."""

    where: str
    layer: LayerDescription
    device: Device
    total: int
    executed: Collection[int]
    following: int = STOP

    @property
    def default(self) -> int:
        """The next layer of the list."""
        return self.layer.index + 1 if self.layer.index + 1 < self.total else STOP


class DescribedSources(NamedTuple):
    """A layer with its sources, the layers `executed` before it, and the channels of each source if they are known."""

    where: str
    layer: LayerDescription
    sources: tuple[int, ...]
    executed: Collection[int]
    channels: tuple[int, ...] = ()


class SharingLayer(NamedTuple):
    """A layer that shares weights: `found` is False for a weight_source without weights.

    `shared_kernel` is the kernel size of the shared weights.
    """

    where: str
    layer: LayerDescription
    found: bool = True
    shared_kernel: Pair = (1, 1)


def constraint_start_layer(s: ChosenLayers) -> Finding | None:
    """The layer to start with (--start-layer) must be one of the network."""
    if 0 <= s.start < s.total:
        return None
    return Finding(f"start layer {s.start} does not exist", f"use 0 … {s.total - 1}")


def constraint_stop_layer(s: ChosenLayers) -> Finding | None:
    """The layer to stop after (--stop-after) must be one of the network."""
    if s.stop is None or 0 <= s.stop < s.total:
        return None
    return Finding(f"layer {s.stop} to stop after does not exist", f"use 0 … {s.total - 1}")


def constraint_list_order(s: OrderedLayer) -> Finding | None:
    """Execution in an order other than that of the list (next_sequence) needs a MAX78002."""
    if s.device.next_layer or s.following in (s.default, STOP):
        return None
    values = f"next_sequence = {s.following}: the {s.device.name} executes layers in list order"
    return Finding(values, "reorder the layers")


def caution_no_successor(s: OrderedLayer) -> Finding | None:
    """next_sequence should name a layer of the network, or stop."""
    if s.following < s.total:
        return None
    return Finding(f"next_sequence = {s.following} does not exist", "use next_sequence: stop if this is intended")


def constraint_endless_order(s: OrderedLayer) -> Finding | None:
    """Each layer must be executed exactly once."""
    if s.layer.index not in s.executed:
        return None
    return Finding("the execution order returns to this layer", "end the network with next_sequence: stop")


def constraint_executed(s: OrderedLayer) -> Finding | None:
    """Every layer between the first and the last executed one must be executed, too."""
    if s.layer.index in s.executed:
        return None
    return Finding("this layer is never executed", "name it in next_sequence, or remove it")


def constraint_weight_source(s: SharingLayer) -> Finding | None:
    """weight_source must name a layer with weights of its own."""
    return None if s.found else Finding(f"weight_source = {s.layer.weight_source}: that layer has no weights")


def constraint_shared_kernel(s: SharingLayer) -> Finding | None:
    """Layers that share weights (weight_source) must have the same kernel size."""
    if s.shared_kernel == s.layer.kernel:
        return None
    sizes = ", but here ".join("×".join(map(str, size)) for size in (s.shared_kernel, s.layer.kernel))
    return Finding(f"weight_source = {s.layer.weight_source}: kernels are {sizes}")


def constraint_executed_sources(s: DescribedSources) -> Finding | None:
    """A layer can read only layers that are executed before it."""
    late = [source for source in s.sources if source >= 0 and source not in s.executed]
    return Finding(f"in_sequences = {late[0]}: no such layer is executed before this one") if late else None


def constraint_joined_channels(s: DescribedSources) -> Finding | None:
    """All sources of a layer must have the same number of channels, the rolling buffer excepted."""
    counts = {c for source, c in zip(s.sources, s.channels, strict=True) if source != BUFFER}
    if len(counts) <= 1:
        return None
    names = ["the rolling buffer" if x == BUFFER else f"layer {x}" if x >= 0 else "the input" for x in s.sources]
    values = ", ".join(f"{name} has {count}" for name, count in zip(names, s.channels, strict=True))
    return Finding(f"different channel counts: {values}", "check in_sequences")


def constraint_chw_first_layer(s: OrderedLayer) -> Finding | None:
    """Only the network's input can have the format CHW; data between layers are always HWC."""
    return Finding("data_format = CHW", "remove data_format") if s.layer.chw and s.executed else None


CHOICE_RULES = (constraint_start_layer, constraint_stop_layer)
RESOLVE_RULES = (
    *CHOICE_RULES,
    constraint_endless_order,
    constraint_list_order,
    caution_no_successor,
    constraint_weight_source,
    constraint_shared_kernel,
    constraint_chw_first_layer,
    constraint_executed_sources,
    constraint_joined_channels,
    constraint_executed,
)
