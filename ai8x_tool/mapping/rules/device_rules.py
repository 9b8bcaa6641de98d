"""Rules about the features of a device, and about FIFOs and streaming."""

from __future__ import annotations

from ai8x_tool.mapping.rules.subject import LayerSubject
from ai8x_tool.network.layer import BINARY
from ai8x_tool.rule import Finding

_FIFO_HWC = 0x000F_000F_000F_000F
_FIFO_CHW = 0x0001_0001_0001_0001


def _needs(s: LayerSubject, wanted: bool, available: bool, what: str) -> Finding | None:
    if not wanted or available:
        return None
    return Finding(f"{what} on the {s.device.name}", "remove it, or use --device MAX78002")


def constraint_layer_count(s: LayerSubject) -> Finding | None:
    """The network must fit the layer registers of the device, hidden layers included."""
    hidden = s.placed.hidden[s.layer.index - s.network.first]
    if s.layer.index + hidden < s.device.layers:
        return None
    return Finding(f"{hidden} hidden layers before it, the {s.device.name} has {s.device.layers} layers")


def constraint_bypass(s: LayerSubject) -> Finding | None:
    """Kernel bypass needs a MAX78002."""
    return _needs(s, s.layer.bypass, s.device.kernel_bypass, "bypass: true")


def constraint_binary(s: LayerSubject) -> Finding | None:
    """Binary (±1) weights need a MAX78002."""
    return _needs(s, s.layer.bits == BINARY, s.device.binary_weights, "binary weights")


def constraint_parallel(s: LayerSubject) -> Finding | None:
    """readahead and calcx4 need a MAX78002."""
    return _needs(s, s.at.readahead or s.at.calcx4, s.device.next_layer, "readahead or calcx4")


def constraint_snoop(s: LayerSubject) -> Finding | None:
    """Conditional execution (snoop) needs a MAX78002."""
    return _needs(s, s.is_start and s.placed.placement.snoop is not None, s.device.next_layer, "snoop")


def constraint_fast_fifo(s: LayerSubject) -> Finding | None:
    """The fast FIFO must feed a convolution with 8-bit output, with up to 4 channels HWC or 1 channel CHW."""
    if not (s.options.fast_fifo and s.is_start):
        return None
    layer, limit = s.layer, 1 if s.at.chw else 4
    if s.options.quad and s.at.own_processors > 0xF:
        return Finding(f"processors = {s.at.own_processors:#018x}", "quad mode feeds processors 0 … 3")
    if layer.channels_in * layer.operands > limit:
        fix = "use --fifo, or fold less"
        return Finding(f"{layer.channels_in} channels {'CHW' if s.at.chw else 'HWC'}", fix)
    if layer.output_width != 8 or not layer.is_convolution:
        return Finding(f"operation = {layer.operator}, output_width = {layer.output_width}")
    return None


def constraint_fifo(s: LayerSubject) -> Finding | None:
    """FIFOs can feed at most 16 channels HWC (processors 0–3, 16–19, 32–35, 48–51) or 4 CHW (0, 16, 32, 48)."""
    if not (s.options.fifo and s.is_start):
        return None
    layer = s.layer
    allowed, limit = (_FIFO_CHW, 4) if s.at.chw else (_FIFO_HWC, 16)
    if layer.index != 0:
        return Finding(f"start layer {layer.index}", "FIFOs feed layer 0")
    if layer.channels_in * layer.operands > limit:
        return Finding(f"{layer.channels_in * layer.operands} channels", "load the input into data memory instead")
    if s.at.own_processors & ~allowed:
        return Finding(f"processors = {s.at.own_processors:#018x}")
    return None


def constraint_streaming_input(s: LayerSubject) -> Finding | None:
    """A streaming first layer must be fed through a FIFO."""
    if not (s.is_start and s.at.streaming):
        return None
    if s.layer.index != 0:
        return Finding(f"start layer {s.layer.index}", "streaming begins at layer 0")
    return None if s.options.fifo else Finding("no FIFO", "add --fifo, or remove streaming")


def constraint_streaming_order(s: LayerSubject) -> Finding | None:
    """Streaming layers must run in the order of the list."""
    if not s.at.streaming or s.at.next in (None, s.layer.index + 1):
        return None
    return Finding(f"next_sequence = {s.at.next}")


def constraint_streaming_count(s: LayerSubject) -> Finding | None:
    """At most eight layers can stream."""
    if not s.at.streaming or s.layer.index < s.device.streaming_layers:
        return None
    return Finding(f"layer {s.layer.index} streams", "stream layers 0 … 7 only")


def constraint_depthwise(s: LayerSubject) -> Finding | None:
    """Depthwise convolution needs a MAX78002."""
    return _needs(s, s.layer.depthwise, s.device.depthwise, f"groups = {s.layer.groups}")


def constraint_read_gap(s: LayerSubject) -> Finding | None:
    """read_gap needs a MAX78002 and at most 64 input channels in HWC format."""
    if not s.at.read_gap:
        return None
    if not s.device.read_gap:
        return Finding(f"read_gap = {s.at.read_gap} on the {s.device.name}")
    wrong = s.at.chw or s.view.input_passes > 1
    return Finding(f"{s.layer.channels_in} channels{', CHW' * s.at.chw}") if wrong else None


def constraint_pool_dilation(s: LayerSubject) -> Finding | None:
    """pool_dilation must not exceed the limit of the device."""
    dilation, limit = max(s.layer.pool_dilation), s.device.pool_dilation
    if dilation <= limit:
        return None
    return Finding(f"pool_dilation = {dilation}, the {s.device.name} supports up to {limit}")


def constraint_last_streaming_pad(s: LayerSubject) -> Finding | None:
    """On the MAX78000, the last streaming layer must pad."""
    layer = s.layer
    if not s.at.streaming or s.device.unpadded_last_streaming or all(s.view.pad):
        return None
    if s.next is not None and s.next.streaming:
        return None
    return Finding(f"pad = {layer.pad[0]}", "set pad to 1, or end streaming one layer earlier")


def constraint_streaming_passthrough(s: LayerSubject) -> Finding | None:
    """On the MAX78002, a layer without convolution cannot stream."""
    if not s.at.streaming or s.layer.is_convolution or s.device.streaming_passthrough:
        return None
    return Finding("operation = none")


def constraint_streaming_bypass(s: LayerSubject) -> Finding | None:
    """A layer with kernel bypass in a streaming chain must have 3×3 kernels: 1×1 kernels are widened to 3×3 there."""
    widened = s.layer.bypass and s.view.kernel != s.layer.kernel
    return Finding("kernel_size = 1x1", "set kernel_size to 3x3 and pad to 1, or do not stream") if widened else None


def caution_streaming_bias(s: LayerSubject) -> Finding | None:
    """On the MAX78000, a streaming layer should have no bias, because it is not reliable."""
    if not s.at.streaming or s.device.streaming_bias or not s.layer.has_bias:
        return None
    return Finding("the layer has a bias", "train it without bias")


DEVICE_RULES = (
    constraint_layer_count,
    constraint_bypass,
    constraint_binary,
    constraint_parallel,
    constraint_snoop,
    constraint_fast_fifo,
    constraint_fifo,
    constraint_streaming_input,
    constraint_streaming_order,
    constraint_streaming_count,
    constraint_depthwise,
    constraint_read_gap,
    constraint_pool_dilation,
    constraint_last_streaming_pad,
    constraint_streaming_passthrough,
    constraint_streaming_bypass,
    caution_streaming_bias,
)
