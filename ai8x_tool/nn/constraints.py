"""Checks of a fused module's arguments against the device.

Each function returns the normalized argument or raises ConstraintError; `owner` names the module for the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai8x_tool.device.facts import PROCESSORS
from ai8x_tool.device.limits import WEIGHT_BITS
from ai8x_tool.nn.context import BuildContext, ConstraintError
from ai8x_tool.nn.pooling import Pooling


def require(condition: bool, owner: str, message: str, fix: str | None = None) -> None:
    """Raise ConstraintError unless `condition` holds."""
    if not condition:
        raise ConstraintError(message, where=owner, fix=fix)


def choice(value: Any, allowed: Sequence[str | None], name: str, owner: str) -> Any:
    """Return `value` if it is one of `allowed`."""
    known = ", ".join(str(entry) for entry in allowed)
    require(value in allowed, owner, f"{name} {value!r} is not supported", f"one of {known}")
    return value


def axes(value: Any, count: int, name: str, owner: str) -> tuple[int, ...]:
    """Return `value`, a whole number or a sequence of `count` of them, as a tuple with one entry per axis."""
    entries = (value,) * count if isinstance(value, int) else value
    good = isinstance(entries, tuple | list) and len(entries) == count
    good = good and all(isinstance(e, int) and not isinstance(e, bool) for e in entries)
    kinds = "a whole number" if count == 1 else f"a whole number or {count} of them"
    require(good, owner, f"{name} must be {kinds}, not {value!r}")
    return tuple(entries)


def check_bits(weight_bits: int | None, bias_bits: int | None, quantize: bool, owner: str) -> None:
    """Check that the three quantization arguments are all set or all unset, and that the widths are supported."""
    for name, bits in (("weight_bits", weight_bits), ("bias_bits", bias_bits)):
        good = bits is None or bits in WEIGHT_BITS
        require(good, owner, f"{name} must be None, 1, 2, 4 or 8, not {bits!r}")
    unquantized = weight_bits is None and bias_bits is None and not quantize
    quantized = weight_bits is not None and bias_bits is not None and quantize
    values = f"weight_bits={weight_bits}, bias_bits={bias_bits}, quantize_activation={quantize}"
    require(unquantized or quantized, owner, f"{values} cannot be combined", "set all three or none")


def pooling_of(
    kind: str | None, size: Any, stride: Any, dilation: Any, *, count: int, owner: str, context: BuildContext
) -> Pooling | None:
    """Return the pooling before an operator with `count` axes, None for no pooling."""
    choice(kind, (None, "Max", "Avg"), "pooling", owner)
    sizes = axes(size, count, "pool_size", owner)
    strides = sizes if stride is None else axes(stride, count, "pool_stride", owner)
    dilations = axes(dilation, count, "pool_dilation", owner)
    if kind is None:
        return None
    most = context.device.operators.pool_size
    require(all(1 <= s <= most for s in sizes), owner, f"pool_size {size} must be 1 to {most}")
    require(all(1 <= s <= most for s in strides), owner, f"pool_stride {strides} must be 1 to {most}")
    require(len(set(strides)) == 1, owner, f"pool_stride {strides} must be the same on both axes")
    require(all(d >= 1 for d in dilations), owner, f"pool_dilation {dilation} must be at least 1")
    if any(d > 1 for d in dilations):
        have = context.device.pool_dilation
        require(have > 1, owner, f"pool_dilation {dilation}: {context.device.name} does not support dilated pooling")
        require(all(d <= have for d in dilations), owner, f"pool_dilation {dilation} must be 1 to {have}")
        require(kind == "Max", owner, f"pool_dilation {dilation} requires max pooling")
    return Pooling(kind, sizes, strides, dilations)


def check_groups(groups: int, owner: str, context: BuildContext) -> None:
    """Check that the device supports depthwise convolutions if `groups` is not 1."""
    good = groups == 1 or context.device.depthwise
    require(good, owner, f"groups={groups}: {context.device.name} has no depthwise convolutions", "use groups=1")


def check_stride(stride: Any, *, count: int, transposed: bool, pooled: bool, owner: str, context: BuildContext) -> int:
    """Return the stride of a convolution, equal on all axes."""
    strides = axes(stride, count, "stride", owner)
    require(len(set(strides)) == 1, owner, f"stride {stride} must be the same on both axes")
    value = strides[0]
    if transposed:
        only = context.device.operators.transposed_stride
        rule = f"a transposed convolution must have stride {only}"
        require(value == only, owner, f"stride {value}: {rule}", f"pass stride={only}")
    elif pooled:
        require(value == 1, owner, f"stride {value}: a convolution with pooling must have stride 1", "use pool_stride")
    elif count == 2:
        require(1 <= value <= 3, owner, f"stride {value} must be 1 to 3")
    else:
        require(value == 1, owner, f"stride {value}: a 1D convolution must have stride 1")
    return value


def check_2d(kernel_size: Any, padding: Any, dilation: Any, *, owner: str, context: BuildContext) -> tuple[int, int]:
    """Return kernel size and padding of a 2D convolution."""
    limits = context.device.operators
    kernel = axes(kernel_size, 2, "kernel_size", owner)
    require(len(set(kernel)) == 1, owner, f"kernel_size {kernel} must be square")
    known = " or ".join(map(str, limits.conv2d_kernels))
    require(kernel[0] in limits.conv2d_kernels, owner, f"kernel_size {kernel[0]} must be {known}")
    pads = axes(padding, 2, "padding", owner)
    same = len(set(pads)) == 1
    require(same and 0 <= pads[0] <= limits.padding, owner, f"padding {padding} must be 0 to {limits.padding}")
    require(
        set(axes(dilation, 2, "dilation", owner)) == {1}, owner, f"dilation {dilation} must be 1 for 2D convolutions"
    )
    return kernel[0], pads[0]


def check_1d(
    in_channels: int, kernel_size: Any, padding: Any, dilation: Any, *, owner: str, context: BuildContext
) -> tuple[int, int, int]:
    """Return kernel size, padding and dilation of a 1D convolution."""
    kernel, pad = axes(kernel_size, 1, "kernel_size", owner)[0], axes(padding, 1, "padding", owner)[0]
    stretch = axes(dilation, 1, "dilation", owner)[0]
    limits = context.device.operators
    require(1 <= kernel <= limits.conv1d_kernel, owner, f"kernel_size {kernel} must be 1 to {limits.conv1d_kernel}")
    require(0 <= pad <= limits.padding, owner, f"padding {pad} must be 0 to {limits.padding}")
    require(stretch >= 1, owner, f"dilation {stretch} must be at least 1")
    near, far = (kernel - 1) * stretch < limits.conv1d_kernel, pad == 0 and kernel <= limits.far_kernel
    needs = f"needs padding 0 and a kernel of at most {limits.far_kernel}"
    require(near or far, owner, f"kernel_size {kernel} with dilation {stretch} {needs}")
    padded = pad == 0 or in_channels <= PROCESSORS or context.device.padded_multi_pass_conv1d
    limit = f"{context.device.name} pads 1D data of at most {PROCESSORS} channels"
    message = f"padding {pad} with {in_channels} input channels: {limit}"
    require(padded, owner, message, "use padding=0")
    return kernel, pad, stretch


def check_channels(in_channels: Any, out_channels: Any, groups: int, owner: str) -> None:
    """Check that channel counts are positive and divisible by the groups."""
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        good = isinstance(value, int) and value >= 1 and value % groups == 0
        rule = "a positive whole number" if groups == 1 else f"a positive multiple of groups={groups}"
        require(good, owner, f"{name} {value!r} must be {rule}")
