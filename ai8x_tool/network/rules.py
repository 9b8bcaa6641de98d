"""Rules about the computation of a network, whatever the device and the placement of the data."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Pair, Source
from ai8x_tool.rule import Finding

_MAX_OPERANDS = 16


class NamedLayer(NamedTuple):
    """A layer with the names that its references may use (`names`) and those of the layers before it (`before`)."""

    layer: Layer
    names: Collection[str]
    before: Collection[str] = ()
    has_buffer: bool = False

    @property
    def where(self) -> str:
        """Where the layer is defined."""
        return self.layer.where


class NumberedLayers(NamedTuple):
    """All layers of a network, by index, and the shape of its input."""

    name: str
    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int]

    @property
    def where(self) -> str:
        """The network's name."""
        return self.name


class SourcedLayer(NamedTuple):
    """A layer with the channels, the size and the name in messages of each of its inputs."""

    layer: Layer
    channels: tuple[int, ...]
    sizes: tuple[Pair, ...]
    labels: tuple[str, ...]

    @property
    def where(self) -> str:
        """Where the layer is defined."""
        return self.layer.where

    @property
    def values(self) -> int:
        """Number of values of all inputs, without cropped rows."""
        cut = sum(self.layer.in_crop)
        parts = zip(self.channels, self.sizes, strict=True)
        return sum(count * max(0, rows - cut) * columns for count, (rows, columns) in parts)


class WeightedLayer(NamedTuple):
    """A layer with weights: `inputs` per output (pixels included) and `outputs`; `offered` are the inputs' channels."""

    layer: Layer
    inputs: int
    outputs: int
    pooled: Pair
    offered: int
    labels: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Where the layer is defined."""
        return self.layer.where

    @property
    def pixels(self) -> int:
        """Pixels per channel that the weights cover."""
        return self.pooled[0] * self.pooled[1] if self.layer.flatten else 1


def size_text(size: Pair) -> str:
    """Return the text `rows×columns`."""
    return f"{size[0]}×{size[1]}"


def _known(source: Source, s: NamedLayer) -> bool:
    if source is BUFFER:
        return s.has_buffer
    return source is INPUT or source in s.names


def constraint_numbers(s: NumberedLayers) -> Finding | None:
    """A network must have at least one layer, and its layers must be numbered consecutively."""
    numbers = [layer.index for layer in s.layers]
    if numbers and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return Finding(f"the numbers are {numbers}" if numbers else "there are no layers")


def constraint_input_shape(s: NumberedLayers) -> Finding | None:
    """The input of a network must have at least one channel, row and column."""
    shape = s.input_shape
    return Finding("it is " + "×".join(map(str, shape))) if min(shape) < 1 else None


def constraint_positive(s: Layer) -> Finding | None:
    """Kernels, strides, dilations, pooling windows and groups must be at least 1, pads at least 0."""
    given: dict[str, Pair] = {
        **{key: getattr(s, key) for key in ("kernel", "stride", "dilation", "pool", "pool_stride", "pool_dilation")},
        "groups": (s.groups, s.groups),
        "pad": (s.pad[0] + 1, s.pad[1] + 1),
        "in_crop": (s.in_crop[0] + 1, s.in_crop[1] + 1),
    }
    wrong = [key for key, values in given.items() if min(values) < 1]
    return Finding(f"{wrong[0]} = {getattr(s, wrong[0])}") if wrong else None


def constraint_operands(s: Layer) -> Finding | None:
    """A layer must have 2 … 16 operands if it is element-wise, and one otherwise."""
    right = 2 <= s.operands <= _MAX_OPERANDS if s.eltwise else s.operands == 1
    return None if right else Finding(f"eltwise = {s.eltwise}, operands = {s.operands}")


def constraint_weights(s: Layer) -> Finding | None:
    """Weights must belong to an operator that multiplies: (outputs, inputs, rows, columns) of its kernel."""
    if s.parameters is None:
        return None
    shape = s.parameters.weights.shape
    if not s.has_weights:
        return Finding("a layer without kernels has weights")
    if len(shape) == 4 and shape[2:] == s.kernel and min(shape) > 0:
        return None
    return Finding(f"the weights are {'×'.join(map(str, shape))}, the kernel is {size_text(s.kernel)}")


def constraint_sources_exist(s: NamedLayer) -> Finding | None:
    """A layer must read the network's input, the rolling buffer, or another layer of the network."""
    if not s.layer.inputs:
        return Finding("the layer has no inputs")
    missing = [source for source in s.layer.inputs if not _known(source, s)]
    if not missing:
        return None
    return Finding("the network has no rolling buffer" if missing[0] is BUFFER else f"there is no layer {missing[0]!r}")


def constraint_unique_name(s: NamedLayer) -> Finding | None:
    """Each layer must have a name of its own, regardless of case."""
    if not s.layer.name:
        return Finding("the name is empty")
    taken = {name.lower() for name in s.before}
    return Finding(f"{s.layer.name!r} is already used", "rename it") if s.layer.name.lower() in taken else None


def constraint_no_cycle(s: NamedLayer) -> Finding | None:
    """A layer must not read its own output, directly or through other layers."""
    waiting = [str(x) for x in s.layer.inputs if x not in s.before and not isinstance(x, type(INPUT))]
    return Finding(f"it waits for {', '.join(waiting)}") if waiting else None


def _labeled(s: SourcedLayer, values: Collection[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(s.labels, values, strict=True))


def constraint_source_channels(s: SourcedLayer) -> Finding | None:
    """Operands of an element-wise layer, and inputs whose pixels are joined, must have equally many channels."""
    if s.layer.eltwise is None and len(set(s.sizes)) == 1:
        return None
    counts = {c for source, c in zip(s.layer.inputs, s.channels, strict=True) if source is not BUFFER}
    if len(counts) <= 1:
        return None
    values = _labeled(s, [f"has {c}" for c in s.channels])
    return Finding(f"different channel counts: {values}", "check in_sequences")


def constraint_operand_sources(s: SourcedLayer) -> Finding | None:
    """An element-wise layer that names layers as inputs must name one for each operand."""
    layer, count = s.layer, len(s.layer.inputs)
    if layer.eltwise is None or count == layer.operands or layer.inputs[0] is INPUT:
        return None
    values = f"{layer.operands} operands, but it reads {', '.join(s.labels)}"
    return Finding(values, f"name {layer.operands} sources with in_sequences")


def constraint_source_sizes(s: SourcedLayer) -> Finding | None:
    """All sources of a layer must have the same rows and columns, unless in_dim specifies how to read them."""
    if s.layer.in_size != (0, 0) or len(set(s.sizes)) <= 1:
        return None
    return Finding(f"different sizes: {_labeled(s, [f'is {size_text(size)}' for size in s.sizes])}", "set in_dim")


def constraint_source_pixels(s: SourcedLayer) -> Finding | None:
    """in_dim (and in_crop) must account for every pixel of the sources."""
    layer, total = s.layer, sum(rows * columns for rows, columns in s.sizes)
    default = set(s.sizes) == {layer.in_size} and not any(layer.in_crop)
    if layer.in_size == (0, 0) or default or BUFFER in layer.inputs or len(s.sizes) == 1:
        return None
    wanted = (layer.in_size[0] + sum(layer.in_crop)) * layer.in_size[1]
    if wanted == total:
        return None
    sizes = _labeled(s, [f"is {size_text(size)}" for size in s.sizes])
    return Finding(f"in_dim needs {wanted} pixels per channel, the sources have {total} ({sizes})")


def constraint_source_values(s: SourcedLayer) -> Finding | None:
    """Operands, in_channels and in_dim must account for every value of the sources."""
    layer = s.layer
    if BUFFER in layer.inputs:
        return None
    size = s.sizes[0] if layer.in_size == (0, 0) else layer.in_size
    pixels = size[0] * size[1] * layer.operands
    if s.values % pixels == 0 and layer.channels_in in (0, s.values // pixels):
        return None
    have = " and ".join(
        f"{label} provides {count}×{size_text(shape)}"
        for label, count, shape in zip(s.labels, s.channels, s.sizes, strict=True)
    )
    wanted = f"{layer.channels_in or 'any number of'} channels of {size_text(size)} pixels"
    operands = f"{layer.operands} operands with " if layer.operands > 1 else ""
    return Finding(f"{operands}{wanted} are expected, {have}", "check in_dim, in_channels and in_sequences")


def constraint_pooled_size(s: Layer) -> Finding | None:
    """A pooling window must not be larger than the data."""
    if min(s.pooled_size) > 0:
        return None
    values = (
        f"pooling ({size_text(s.pool)}) is larger than the data ({size_text(s.in_size)}): the output would be empty"
    )
    return Finding(values, "pool less in this layer or in those before it")


def constraint_kernel_fits(s: Layer) -> Finding | None:
    """A kernel, including its dilation, must not be larger than the padded data."""
    if min(s.out_size) > 0:
        return None
    pad = f", pad {size_text(s.pad)}" if any(s.pad) else ""
    values = f"the kernel ({size_text(s.kernel)}) is larger than the data ({size_text(s.pooled_size)}{pad})"
    return Finding(f"{values}: the output would be empty", "add padding, or pool less in the layers before")


def constraint_flatten_pixels(s: WeightedLayer) -> Finding | None:
    """With flatten, each output must have one weight for every pixel of every channel."""
    if s.inputs % s.pixels == 0:
        return None
    values = f"{s.inputs} weights per output cannot be divided among {s.pixels} pixels ({size_text(s.pooled)})"
    return Finding(values, "check the output sizes of the preceding layers")


def constraint_input_channels(s: WeightedLayer) -> Finding | None:
    """The weights of a layer must have as many input channels as the layer reads."""
    needed = s.inputs // s.pixels
    if needed == s.offered:
        return None
    size = size_text(s.pooled)
    if s.layer.inputs == (INPUT,) and s.layer.channels_in == 0:
        rows_columns = size_text(s.layer.in_size)
        have, want = (f"{count * s.layer.operands}×{rows_columns}" for count in (s.offered, needed))
        fix = _forgotten_flatten(s) or "pass a sample of this network with --sample-input"
        return Finding(f"the sample is {have}, the layer expects {want}", fix)
    values = (
        f"the weights expect {needed} input channels, {' and '.join(s.labels)} provide{'s' * (len(s.labels) == 1)} "
    )
    values += f"{s.offered} of {size} pixels"
    return Finding(values, _channel_remedy(s))


def _channel_remedy(s: WeightedLayer) -> str:
    forgotten = _forgotten_flatten(s)
    if forgotten is not None:
        return forgotten
    pixels = s.pooled[0] * s.pooled[1]
    if s.layer.flatten and s.inputs != s.offered * pixels and s.offered and s.inputs % s.offered == 0:
        values = f"{s.inputs} weights against {s.offered}×{size_text(s.pooled)} values"
        return f"{values}: is pooling missing in a preceding layer?"
    return "check in_sequences and the order of layers and checkpoint entries"


def _forgotten_flatten(s: WeightedLayer) -> str | None:
    pixels = s.pooled[0] * s.pooled[1]
    if s.layer.flatten or pixels == 1 or s.inputs != s.offered * pixels:
        return None
    return f"{s.inputs} weights against {s.offered}×{size_text(s.pooled)} values: add flatten: true"


def constraint_output_channels(s: WeightedLayer) -> Finding | None:
    """out_channels must be the number of outputs that the weights have."""
    if s.layer.channels_out in (0, s.outputs):
        return None
    values = f"out_channels = {s.layer.channels_out}, but the weights have {s.outputs} outputs"
    return Finding(values, "remove the key")


def constraint_bias_count(s: WeightedLayer) -> Finding | None:
    """There must be one bias value for each output channel."""
    bias = None if s.layer.parameters is None else s.layer.parameters.bias
    return None if bias is None or len(bias) == s.outputs else Finding(f"{len(bias)} values, {s.outputs} channels")


def constraint_wide_output_activation(s: Layer) -> Finding | None:
    """A layer with 32-bit output must not have an activation: the output is written before it."""
    if s.output_width == 8 or s.activation == "none":
        return None
    return Finding(f"activate = {s.activation}", "remove activate or output_width")


def constraint_equal_strides(s: Layer) -> Finding | None:
    """2D layers must have the same pool_stride for rows and columns."""
    if s.operator == "conv1d" or s.in_size[1] == 1:
        return None
    return Finding(f"pool_stride = {list(s.pool_stride)}") if s.pool_stride[0] != s.pool_stride[1] else None


def constraint_stride(s: Layer) -> Finding | None:
    """Convolutions must have stride 1; use pool_stride to subsample."""
    if s.operator == "convtranspose2d" or s.stride == (1, 1):
        return None
    return Finding(f"stride = {list(s.stride)}", "set stride to 1")


def constraint_pad_passthrough(s: Layer) -> Finding | None:
    """A layer without convolution cannot pad."""
    wrong = not s.is_convolution and any(s.pad)
    return Finding(f"pad = {s.pad[0]}", "set pad to 0") if wrong else None


def constraint_pad_kernel(s: Layer) -> Finding | None:
    """pad must be smaller than the kernel."""
    if all(pad < kernel for pad, kernel in zip(s.pad, s.kernel, strict=True)):
        return None
    return Finding(f"pad = {s.pad[0]}, kernel {size_text(s.kernel)}", "set pad to 0")


def constraint_passthrough_activation(s: Layer) -> Finding | None:
    """A layer without convolution cannot have an activation."""
    if s.is_convolution or s.activation == "none":
        return None
    return Finding(f"activate = {s.activation}", "move the activation to a layer with convolution")


def constraint_buffer_shift(s: Layer) -> Finding | None:
    """Only passthrough layers can have buffer_shift."""
    return Finding(f"operation = {s.operator}") if s.buffer_shift and s.is_convolution else None


NUMBER_RULES = (constraint_numbers, constraint_input_shape)
VALUE_RULES = (constraint_positive, constraint_operands, constraint_weights)
NAME_RULES = (constraint_unique_name, constraint_sources_exist, constraint_no_cycle)
SOURCE_RULES = (
    constraint_source_channels,
    constraint_operand_sources,
    constraint_source_sizes,
    constraint_source_pixels,
    constraint_source_values,
)
SIZE_RULES = (constraint_pooled_size, constraint_kernel_fits)
WEIGHT_RULES = (
    constraint_flatten_pixels,
    constraint_input_channels,
    constraint_output_channels,
    constraint_bias_count,
)
LAYER_RULES = (
    constraint_wide_output_activation,
    constraint_equal_strides,
    constraint_stride,
    constraint_pad_passthrough,
    constraint_pad_kernel,
    constraint_passthrough_activation,
    constraint_buffer_shift,
)
NETWORK_RULES = (
    *NUMBER_RULES,
    *VALUE_RULES,
    *NAME_RULES,
    *SOURCE_RULES,
    *SIZE_RULES,
    *WEIGHT_RULES,
    *LAYER_RULES,
)
"""All rules in the order in which they are checked."""
