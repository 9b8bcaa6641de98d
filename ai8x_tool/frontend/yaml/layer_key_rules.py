"""Rules about the keys of one layer, whatever its weights and sizes."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.frontend.yaml.description import BUFFER, LayerDescription
from ai8x_tool.frontend.yaml.keys import ALIASES
from ai8x_tool.frontend.yaml.values import Fields
from ai8x_tool.rule import Finding

_MAX_OPERANDS = 16
_MAX_POOL = 16
_MAX_TAPS = 9


class DescribedLayer(NamedTuple):
    """A described layer: `layer` is the typed layer, `fields` are its keys with aliases resolved.

    `given` are the keys as spelled. `placed`: all layers of the description have processors.
    """

    layer: LayerDescription
    fields: Fields
    given: Fields
    placed: bool = True

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.fields.where()


def constraint_one_spelling(s: DescribedLayer) -> Finding | None:
    """A key that has several spellings must be given only once."""
    for group in ALIASES.values():
        present = [alias for alias in group if alias in s.given]
        if len(present) > 1:
            values = f"{present[1]!r} means the same as {present[0]!r}"
            return Finding(values, "remove one of them", s.given.where(present[1]))
    return None


def constraint_operands_eltwise(s: DescribedLayer) -> Finding | None:
    """Only an element-wise layer can have operands."""
    return (
        s.fields.finding("operands", fix="remove the key") if "operands" in s.fields and not s.layer.eltwise else None
    )


def constraint_operand_count(s: DescribedLayer) -> Finding | None:
    """An element-wise layer must have 2 … 16 operands."""
    return s.fields.finding("operands") if s.layer.eltwise and not 2 <= s.layer.operands <= _MAX_OPERANDS else None


def constraint_dilation_passthrough(s: DescribedLayer) -> Finding | None:
    """A layer without convolution cannot have dilation."""
    wrong = s.layer.operator == "none" and "dilation" in s.fields
    return s.fields.finding("dilation", fix="remove the key") if wrong else None


def constraint_stride_pair(s: DescribedLayer) -> Finding | None:
    """stride must be the same for rows and columns."""
    rows, columns = s.fields.pair("stride", (1, 1))
    return None if rows == columns else s.fields.finding("stride")


def constraint_transposed_stride(s: DescribedLayer) -> Finding | None:
    """A transposed convolution must have stride 2."""
    wrong = s.layer.operator == "convtranspose2d" and s.layer.stride != (2, 2)
    return s.fields.finding("stride", fix="remove the key") if wrong else None


def constraint_kernel_size(s: DescribedLayer) -> Finding | None:
    """Kernels must be 1 … 9 for Conv1d, 1x1 or 3x3 for Conv2d, 3x3 for ConvTranspose2d; Linear has no kernel_size."""
    layer = s.layer
    if layer.operator == "linear":
        return s.fields.finding("kernel_size", fix="remove the key") if "kernel_size" in s.fields else None
    if layer.operator == "conv1d":
        allowed = 1 <= layer.kernel[0] <= _MAX_TAPS
    elif layer.operator == "conv2d":
        allowed = layer.kernel in ((1, 1), (3, 3))
    else:
        allowed = layer.operator == "none" or layer.kernel == (3, 3)
    return None if allowed else s.fields.finding("kernel_size", f"the layer is a {layer.operator}")


def constraint_one_pooling(s: DescribedLayer) -> Finding | None:
    """A layer can have either max_pool or avg_pool, not both."""
    both = "max_pool" in s.fields and "avg_pool" in s.fields
    return s.fields.finding("avg_pool", "max_pool is given, too") if both else None


def constraint_pool_range(s: DescribedLayer) -> Finding | None:
    """Pooling windows, strides and dilations must be 1 … 16 in each direction."""
    for key in ("max_pool", "avg_pool", "pool_stride", "pool_dilation"):
        if max(s.fields.pair(key, (1, 1))) > _MAX_POOL:
            return s.fields.finding(key, fix="pool in several layers" if key.endswith("_pool") else None)
    return None


def constraint_pool_dilation_alone(s: DescribedLayer) -> Finding | None:
    """pool_dilation needs max_pool or avg_pool."""
    alone = "pool_dilation" in s.fields and "avg_pool" not in s.fields and "max_pool" not in s.fields
    return s.fields.finding("pool_dilation", fix="remove the key") if alone else None


def constraint_output_width(s: DescribedLayer) -> Finding | None:
    """output_width must be 8 or 32 bits."""
    return None if s.layer.output_width in (8, 32) else s.fields.finding("output_width")


def constraint_word_offsets(s: DescribedLayer) -> Finding | None:
    """in_offset and out_offset must be multiples of 4 bytes, because data memory is written in words."""
    for key, offset in (("in_offset", s.layer.in_offset), ("out_offset", s.layer.out_offset)):
        if offset is not None and offset % 4:
            return s.fields.finding(key, fix=f"for example {offset + 3 & ~3:#x}")
    return None


def constraint_stride_pooled(s: DescribedLayer) -> Finding | None:
    """A layer that pools must have stride 1."""
    wrong = s.layer.has_pool and s.layer.operator != "convtranspose2d" and s.layer.stride != (1, 1)
    return s.fields.finding("stride", fix="use pool_stride to subsample") if wrong else None


def constraint_pool_order(s: DescribedLayer) -> Finding | None:
    """pool_first: false is for layers with both pooling and an element-wise operation."""
    wrong = not s.layer.pool_first and not (s.layer.has_pool and s.layer.operands > 1)
    return s.fields.finding("pool_first", fix="remove the key") if wrong else None


def constraint_buffer_source(s: DescribedLayer) -> Finding | None:
    """buffer_shift needs in_sequences naming the rolling buffer."""
    return s.fields.finding("buffer_shift") if s.layer.buffer_shift and s.layer.in_sequences is None else None


def constraint_buffer_target(s: DescribedLayer) -> Finding | None:
    """buffer_insert needs out_offset, the place in the rolling buffer."""
    return s.fields.finding("buffer_insert") if s.layer.buffer_insert and "out_offset" not in s.fields else None


def constraint_buffer_reader(s: DescribedLayer) -> Finding | None:
    """A layer that reads the rolling buffer must have in_offset, out_offset, in_dim and in_channels."""
    if s.layer.in_sequences != (BUFFER,):
        return None
    missing = [key for key in ("in_offset", "out_offset", "in_dim", "in_channels") if key not in s.fields]
    return s.fields.finding("in_sequences", f"{', '.join(missing)} missing") if missing else None


def caution_pool_stride(s: DescribedLayer) -> Finding | None:
    """A layer that pools should set pool_stride, because the default is 1."""
    key = "avg_pool" if s.layer.pool_average else "max_pool"
    return s.fields.finding(key, fix="set pool_stride") if s.layer.has_pool and "pool_stride" not in s.fields else None


def hint_no_output_offset(s: DescribedLayer) -> Finding | None:
    """A layer without out_offset writes to offset 0."""
    return Finding("no out_offset") if s.placed and "out_offset" not in s.fields else None


def caution_channel_skip(s: DescribedLayer) -> Finding | None:
    """in_channel_skip should be left out, because it has no effect."""
    return (
        s.fields.finding("in_channel_skip", fix="use a sample without the skipped channels")
        if s.layer.in_channel_skip
        else None
    )


def hint_no_operation(s: DescribedLayer) -> Finding | None:
    """A layer without operation is a Conv2d."""
    return Finding("no operation") if "operation" not in s.fields else None


def hint_no_activation(s: DescribedLayer) -> Finding | None:
    """A convolution or linear layer without activate has no activation."""
    missing = s.layer.operator != "none" and "activate" not in s.fields
    return Finding("no activate") if missing else None


LAYER_KEY_RULES = (
    constraint_one_spelling,
    constraint_operands_eltwise,
    constraint_operand_count,
    constraint_dilation_passthrough,
    constraint_stride_pair,
    constraint_transposed_stride,
    constraint_kernel_size,
    constraint_one_pooling,
    constraint_pool_range,
    constraint_pool_dilation_alone,
    caution_pool_stride,
    constraint_output_width,
    constraint_word_offsets,
    hint_no_output_offset,
    caution_channel_skip,
    hint_no_operation,
    hint_no_activation,
    constraint_stride_pooled,
    constraint_pool_order,
    constraint_buffer_source,
    constraint_buffer_target,
    constraint_buffer_reader,
)
