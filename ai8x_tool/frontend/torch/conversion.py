"""Conversion of plain torch layers to fused modules that keep their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ai8x_tool import nn as fused
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import BuildContext, FusedModule

Norm = nn.BatchNorm1d | nn.BatchNorm2d
_FAMILIES: dict[type[nn.Module], str] = {
    nn.Conv1d: "Conv1d",
    nn.Conv2d: "Conv2d",
    nn.ConvTranspose2d: "ConvTranspose2d",
    nn.Linear: "Linear",
}


@dataclass(frozen=True)
class FusionContext:
    """Context of a layer to be fused: the batch normalization and activation after it, and the scales of its data.

    Its input is `before` times that of the plain model; its output must be `after` times that of the plain model.
    """

    norm: Norm | None
    activation: str | None
    wide: bool
    before: float
    after: float


def convert_layer(layer: nn.Module, fusion: FusionContext, context: BuildContext) -> FusedModule:
    """Return the fused module that computes `layer`, its batch normalization and its activation, with their weights.

    A grouped convolution becomes an ungrouped one with zeros between the groups if the device does not support it.
    Raises Ai8xError (without a place) if the device cannot execute the layer.
    """
    family = next(name for kind, name in _FAMILIES.items() if isinstance(layer, kind))
    if family == "Linear":
        return _linear(layer, fusion, context)
    return _convolution(layer, family, fusion, context)


def _linear(layer: Any, fusion: FusionContext, context: BuildContext) -> FusedModule:
    if fusion.norm is not None:
        message = "batch normalization after a linear layer is not supported"
        raise Ai8xError(message, fix="remove it, or use a 1×1 convolution")
    result = fused.Linear(
        *(layer.in_features, layer.out_features),
        bias=layer.bias is not None,
        activation=fusion.activation,
        wide=fusion.wide,
        context=context,
    )
    _take_weights(result, layer, layer.weight.detach(), fusion)
    return result


def _convolution(layer: Any, family: str, fusion: FusionContext, context: BuildContext) -> FusedModule:
    if layer.padding_mode != "zeros":
        raise Ai8xError(f"padding_mode {layer.padding_mode!r}: the accelerator pads with zeros", fix="use 'zeros'")
    if family == "ConvTranspose2d" and layer.output_padding != (1, 1):
        message = f"a transposed convolution must have output_padding=1, not {layer.output_padding}"
        raise Ai8xError(message, fix="pass stride=2, output_padding=1")
    groups, weight = layer.groups, layer.weight.detach()
    depthwise = groups == layer.in_channels == layer.out_channels and context.device.depthwise
    if groups > 1 and not depthwise:
        groups, weight = 1, _dense(weight, groups, transposed=family == "ConvTranspose2d")
    norm = fusion.norm
    options: dict[str, Any] = {
        "stride": layer.stride,
        "padding": _padding(layer),
        "dilation": layer.dilation,
        "groups": groups,
        "bias": layer.bias is not None or norm is not None,
        "activation": fusion.activation,
        "wide": fusion.wide,
        "batchnorm": None if norm is None else "Affine",
    }
    if norm is not None:
        options |= {"eps": norm.eps * fusion.before**2, "momentum": norm.momentum}
    kernel = layer.kernel_size
    if family == "Conv1d":
        options |= {key: options[key][0] for key in ("stride", "padding", "dilation")}
        kernel = kernel[0]
    make = getattr(fused, family)
    result: FusedModule = make(layer.in_channels, layer.out_channels, kernel, context=context, **options)
    _take_weights(result, layer, weight, fusion)
    if norm is not None:
        _take_norm(result, norm, fusion)
    return result


def needs_split(layer: nn.Module) -> bool:
    """Return whether a convolution has a large kernel that several small ones can replace."""
    square = isinstance(layer, nn.Conv2d) and layer.kernel_size in ((5, 5), (7, 7)) and layer.groups == 1
    return square and layer.stride == layer.dilation == (1, 1)


def split_layer(layer: Any, fusion: FusionContext, context: BuildContext) -> nn.Sequential:
    """Return 3×3 convolutions with the receptive field of a 5×5 or 7×7 one; except the normalization, untrained."""
    count, left = (layer.kernel_size[0] - 1) // 2, _padding(layer)[0]
    if left > count:
        message = f"padding {left} exceeds the padding of {count} convolutions of 3×3"
        raise Ai8xError(message, fix=f"use a padding of at most {count}")
    parts = []
    for number in range(count):
        inputs = layer.out_channels if number else layer.in_channels
        part = nn.Conv2d(inputs, layer.out_channels, 3, padding=1 if number < left else 0)
        before = fusion.after if number else fusion.before
        at = replace(fusion, before=before)
        if number < count - 1:
            at = replace(at, norm=None, activation="ReLU", wide=False)
        part.to(layer.weight.device).train(layer.training)
        parts.append(convert_layer(part, at, context))
    return nn.Sequential(*parts)


def _padding(layer: Any) -> tuple[int, ...]:
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    if layer.padding == "same":
        return tuple(d * (k - 1) // 2 for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
    return tuple(layer.padding)


def _dense(weight: torch.Tensor, groups: int, *, transposed: bool) -> torch.Tensor:
    """Return the weights of the equivalent convolution without groups."""
    parts = weight.chunk(groups)
    outputs, inputs = (parts[0].shape[1], parts[0].shape[0]) if transposed else parts[0].shape[:2]
    shape = (groups * inputs, groups * outputs) if transposed else (groups * outputs, groups * inputs)
    result = weight.new_zeros((*shape, *weight.shape[2:]))
    for number, part in enumerate(parts):
        rows, columns = part.shape[:2]
        result[number * rows : (number + 1) * rows, number * columns : (number + 1) * columns] = part
    return result


@torch.no_grad()
def _take_weights(module: FusedModule, layer: Any, weight: torch.Tensor, fusion: FusionContext) -> None:
    """Copy weight and bias such that input scaled by `before` gives output scaled by `after` (`before` with a norm)."""
    op: Any = module.op
    factor = 1.0 if fusion.norm is not None else fusion.after / fusion.before
    op.weight.copy_(weight * factor)
    if op.bias is not None:
        scale = fusion.before if fusion.norm is not None else fusion.after
        op.bias.copy_(torch.zeros_like(op.bias) if layer.bias is None else layer.bias * scale)
    module.to(layer.weight.device)
    module.train(layer.training)


@torch.no_grad()
def _take_norm(module: FusedModule, norm: Norm, fusion: FusionContext) -> None:
    """Copy the batch normalization of data scaled by `before`, with its result scaled by `after`."""
    bn: Any = module.bn
    if norm.running_mean is None or norm.running_var is None:
        message = "batch normalization without running statistics cannot be folded"
        raise Ai8xError(message, fix="pass track_running_stats=True")
    factor = fusion.after / module.batchnorm_factor
    bn.running_mean.copy_(norm.running_mean * fusion.before)
    bn.running_var.copy_(norm.running_var * fusion.before**2)
    bn.weight.copy_((torch.ones_like(bn.weight) if norm.weight is None else norm.weight) * factor)
    bn.bias.copy_((torch.zeros_like(bn.bias) if norm.bias is None else norm.bias) * factor)


@torch.no_grad()
def identity_layer(shape: tuple[int, ...], activation: str, context: BuildContext) -> FusedModule:
    """Return a 1×1 convolution or linear layer with identity weights for data of `shape`, without the batch."""
    channels = shape[0]
    result: FusedModule
    if len(shape) == 1:
        result = fused.Linear(channels, channels, activation=activation, context=context)
    elif len(shape) == 2:
        result = fused.Conv1d(channels, channels, 1, bias=False, activation=activation, context=context)
    else:
        result = fused.Conv2d(channels, channels, 1, bias=False, activation=activation, context=context)
    op: Any = result.op
    op.weight.copy_(torch.eye(channels).reshape(op.weight.shape))
    return result
