"""Rules about order, sources, channels and sizes, which must hold before a layer is resolved.

spec: network-yaml, sections 3 and 4.2; registers, section 3
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.frontend.yaml.description import BUFFER, STOP, LayerDescription, Pair
from ai8x_tool.rule import Finding


class ChosenLayers(NamedTuple):
    """The layers at which the options begin and end a network of `total` layers."""

    start: int
    stop: int | None
    total: int
    where: str = ""


class OrderedLayer(NamedTuple):
    """A layer in the order of execution: `executed` are those before it, `following` is to come next."""

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


class SourcedLayer(NamedTuple):
    """A layer with its sources: `channels` and `sizes` are those of each source, unknown until all are `executed`."""

    where: str
    layer: LayerDescription
    sources: tuple[int, ...]
    executed: Collection[int]
    channels: tuple[int, ...] = ()
    sizes: tuple[Pair, ...] = ()


class SizedLayer(NamedTuple):
    """A layer with the sizes of its input, after pooling, and of its output."""

    where: str
    layer: LayerDescription
    size: Pair
    pooled: Pair
    out: Pair


class WeightedLayer(NamedTuple):
    """A layer with weights: `inputs` per output (pixels included) and `outputs`; `offered` are the sources' channels.

    `found` is False for a weight_source without weights, `shared_kernel` the kernel size of those it has.
    """

    where: str
    layer: LayerDescription
    inputs: int = 0
    outputs: int = 0
    pooled: Pair = (1, 1)
    offered: int = 0
    found: bool = True
    shared_kernel: Pair = (1, 1)

    @property
    def pixels(self) -> int:
        """Pixels per channel that the weights include."""
        return self.pooled[0] * self.pooled[1] if self.layer.flatten else 1


def _size(size: Pair) -> str:
    return f"{size[0]}×{size[1]}"


def constraint_start_layer(s: ChosenLayers) -> Finding | None:
    """The layer to start with (--start-layer) is one of the network."""
    if 0 <= s.start < s.total:
        return None
    return Finding(f"start layer {s.start} does not exist", f"0 … {s.total - 1}")


def constraint_stop_layer(s: ChosenLayers) -> Finding | None:
    """The layer to stop after (--stop-after) is one of the network."""
    if s.stop is None or 0 <= s.stop < s.total:
        return None
    return Finding(f"layer {s.stop} to stop after does not exist", f"0 … {s.total - 1}")


def constraint_list_order(s: OrderedLayer) -> Finding | None:
    """Execution in another order than that of the list (next_sequence) needs a MAX78002."""
    if s.device.next_layer or s.following in (s.default, STOP):
        return None
    values = f"next_sequence = {s.following}: the {s.device.name} executes layers in list order"
    return Finding(values, "reorder the layers")


def caution_no_successor(s: OrderedLayer) -> Finding | None:
    """A network ends where next_sequence names no layer."""
    if s.following < s.total:
        return None
    return Finding(f"next_sequence = {s.following} does not exist", "use next_sequence: stop if this is meant")


def constraint_endless_order(s: OrderedLayer) -> Finding | None:
    """Each layer is executed once."""
    if s.layer.index not in s.executed:
        return None
    return Finding("the execution order returns to this layer", "end it with next_sequence: stop")


def constraint_executed(s: OrderedLayer) -> Finding | None:
    """Every layer between the first and the last one that are executed is executed, too."""
    if s.layer.index in s.executed:
        return None
    return Finding("this layer is never executed", "name it in next_sequence, or remove it")


def constraint_weight_source(s: WeightedLayer) -> Finding | None:
    """weight_source names a layer with weights of its own."""
    return None if s.found else Finding(f"weight_source = {s.layer.weight_source}: that layer has none")


def constraint_shared_kernel(s: WeightedLayer) -> Finding | None:
    """Layers that share weights (weight_source) have the same kernel size."""
    if s.shared_kernel == s.layer.kernel:
        return None
    sizes = ", but here ".join("×".join(map(str, size)) for size in (s.shared_kernel, s.layer.kernel))
    return Finding(f"weight_source = {s.layer.weight_source}: kernels are {sizes}")


def constraint_executed_sources(s: SourcedLayer) -> Finding | None:
    """A layer reads layers that are executed before it."""
    late = [source for source in s.sources if source >= 0 and source not in s.executed]
    return Finding(f"in_sequences = {late[0]}: no such layer is executed before this one") if late else None


def _labelled(s: SourcedLayer, values: Collection[str]) -> str:
    names = ["the rolling buffer" if x == BUFFER else f"layer {x}" if x >= 0 else "the input" for x in s.sources]
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def constraint_source_channels(s: SourcedLayer) -> Finding | None:
    """All sources of a layer have the same number of channels, the rolling buffer excepted."""
    counts = {c for source, c in zip(s.sources, s.channels, strict=True) if source != BUFFER}
    if len(counts) <= 1:
        return None
    values = _labelled(s, [f"has {c}" for c in s.channels])
    return Finding(f"different channel counts: {values}", "check in_sequences")


def constraint_source_sizes(s: SourcedLayer) -> Finding | None:
    """All sources of a layer have the same rows and columns, unless in_dim says how to read them."""
    if s.layer.in_dim is not None or len(set(s.sizes)) <= 1:
        return None
    return Finding(f"different sizes: {_labelled(s, [f'is {_size(size)}' for size in s.sizes])}", "give in_dim")


def constraint_source_pixels(s: SourcedLayer) -> Finding | None:
    """in_dim (and in_crop) account for every pixel of the sources."""
    layer = s.layer
    if layer.in_dim is None or layer.in_sequences is None or BUFFER in s.sources:
        return None
    wanted = (layer.in_dim[0] + sum(layer.in_crop)) * layer.in_dim[1]
    have = sum(rows * columns for rows, columns in s.sizes)
    if wanted == have:
        return None
    sizes = _labelled(s, [f"is {_size(size)}" for size in s.sizes])
    return Finding(f"in_dim needs {wanted} pixels per channel, the sources have {have} ({sizes})")


def constraint_pooled_size(s: SizedLayer) -> Finding | None:
    """A pooling window is not larger than the data."""
    if min(s.pooled) > 0:
        return None
    values = f"pooling ({_size(s.layer.pool)}) is larger than the data ({_size(s.size)}): the output would be empty"
    return Finding(values, "pool less here or in the layers before")


def constraint_kernel_fits(s: SizedLayer) -> Finding | None:
    """A kernel, dilated, is not larger than the padded data."""
    if min(s.out) > 0:
        return None
    pad = f", pad {_size(s.layer.pad)}" if any(s.layer.pad) else ""
    values = f"the kernel ({_size(s.layer.kernel)}) is larger than the data ({_size(s.pooled)}{pad})"
    return Finding(f"{values}: the output would be empty", "pad, or pool less before")


def constraint_flatten_pixels(s: WeightedLayer) -> Finding | None:
    """With flatten, each output has one weight for every pixel of every channel."""
    if s.inputs % s.pixels == 0:
        return None
    values = f"{s.inputs} weights per output cannot be divided among {s.pixels} pixels ({_size(s.pooled)})"
    return Finding(values, "check the sizes that the layers before give")


def constraint_input_channels(s: WeightedLayer) -> Finding | None:
    """in_sequences and in_channels give the number of input channels that the weights have."""
    layer, needed = s.layer, s.inputs // s.pixels
    if needed == s.offered or (layer.in_sequences is None and layer.in_channels is None):
        return None
    source = "in_channels says" if layer.in_channels else f"the sources {list(layer.in_sequences or ())} give"
    values = f"the weights expect {needed} input channels, {source} {s.offered}"
    return Finding(values, "check in_sequences and the order of layers and checkpoint entries")


def constraint_output_channels(s: WeightedLayer) -> Finding | None:
    """out_channels is the number of outputs that the weights have."""
    if s.layer.out_channels in (None, s.outputs):
        return None
    return Finding(f"out_channels = {s.layer.out_channels}, but the weights have {s.outputs} outputs", "remove the key")


CHOICE_RULES = (constraint_start_layer, constraint_stop_layer)
RESOLVE_RULES = (
    *CHOICE_RULES,
    constraint_endless_order,
    constraint_list_order,
    caution_no_successor,
    constraint_weight_source,
    constraint_shared_kernel,
    constraint_executed_sources,
    constraint_source_channels,
    constraint_source_sizes,
    constraint_source_pixels,
    constraint_pooled_size,
    constraint_kernel_fits,
    constraint_flatten_pixels,
    constraint_input_channels,
    constraint_output_channels,
    constraint_executed,
)
