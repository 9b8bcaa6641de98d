"""Blocks composed of several fused modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.nn import layers
from ai8x_tool.nn.convolution import Conv2d
from ai8x_tool.nn.elementwise import Add, Empty


class Fire(nn.Module):
    """SqueezeNet block: 1×1 squeeze, then 1×1 and 3×3 expansions of its output, concatenated along channels."""

    def __init__(
        self,
        in_planes: int,
        squeeze_planes: int,
        expand1x1_planes: int,
        expand3x3_planes: int,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        conv = layers.FusedConv2dReLU
        self.squeeze_layer = conv(in_planes, squeeze_planes, 1, bias=bias, **kwargs)
        self.expand1x1_layer = conv(squeeze_planes, expand1x1_planes, 1, bias=bias, **kwargs)
        self.expand3x3_layer = conv(squeeze_planes, expand3x3_planes, 3, padding=1, bias=bias, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, expand1x1 + expand3x3, H, W)."""
        x = self.squeeze_layer(x)
        return torch.cat((self.expand1x1_layer(x), self.expand3x3_layer(x)), 1)


class _Bottleneck(nn.Module):
    """Base of both bottlenecks: expansion and residual connection."""

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int, *, stride: int, bias: bool, **kwargs: Any
    ) -> None:
        super().__init__()
        self.conv1 = (
            Empty() if hidden == in_channels else layers.FusedConv2dBNReLU(in_channels, hidden, 1, bias=bias, **kwargs)
        )
        self.residual = stride == 1 and in_channels == out_channels
        self.context = {"context": kwargs["context"]} if "context" in kwargs else {}

    def _attach_residual(self) -> None:
        self.resid = Add(**self.context) if self.residual else Empty()
        del self.context

    def _join(self, y: Tensor, x: Tensor) -> Tensor:
        result: Tensor = self.resid(y, x) if self.residual else y
        return result


class ResidualBottleneck(_Bottleneck):
    """Inverted residual: 1×1 expansion, max pooling by `stride`, depthwise 3×3 convolution, 1×1 projection."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion_factor: float,
        stride: int = 1,
        bias: bool = False,
        depthwise_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        hidden = round(in_channels * expansion_factor)
        super().__init__(in_channels, out_channels, hidden, stride=stride, bias=bias, **kwargs)
        shape = {"padding": 1, "bias": depthwise_bias, **kwargs}
        if stride == 1:
            plain = layers.FusedDepthwiseConv2dBNReLU if depthwise_bias else layers.FusedDepthwiseConv2dReLU
            self.conv2: Conv2d = plain(hidden, hidden, 3, **shape)
        else:
            name = "FusedMaxPoolDepthwiseConv2d" + ("BNReLU" if depthwise_bias else "ReLU")
            self.conv2 = getattr(layers, name)(hidden, hidden, 3, pool_size=stride, pool_stride=stride, **shape)
        self.conv3 = layers.FusedConv2dBN(hidden, out_channels, 1, bias=bias, **kwargs)
        self._attach_residual()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H div stride, W div stride)."""
        return self._join(self.conv3(self.conv2(self.conv1(x))), x)


class ConvResidualBottleneck(_Bottleneck):
    """1×1 expansion, max pooling by `stride`, then a dense 3×3 convolution without activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion_factor: float,
        stride: int = 1,
        bias: bool = False,
        depthwise_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        hidden = round(in_channels * expansion_factor)
        super().__init__(in_channels, out_channels, hidden, stride=stride, bias=bias, **kwargs)
        shape = {"padding": 1, "bias": depthwise_bias, "batchnorm": "Affine" if depthwise_bias else None, **kwargs}
        if stride == 1:
            self.conv2 = Conv2d(hidden, out_channels, 3, **shape)
        else:
            pooled = layers.FusedMaxPoolConv2d
            self.conv2 = pooled(hidden, out_channels, 3, pool_size=stride, pool_stride=stride, **shape)
        self._attach_residual()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H div stride, W div stride)."""
        return self._join(self.conv2(self.conv1(x)), x)


class MBConvBlock(nn.Module):
    """EfficientNet block: expansion (3×3 if `fused`), depthwise (unless `fused`), projection, addition of the input.

    Squeeze-and-excitation (`se_ratio`) can be trained but not synthesized.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        bias: bool = False,
        se_ratio: float | None = None,
        expand_ratio: int = 1,
        fused: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        shape = {"bias": bias, "eps": 1e-03, "momentum": 0.01, **kwargs}
        hidden = in_channels * expand_ratio
        make = layers.FusedConv2dBNReLU
        self.expand_conv = self.depthwise_conv = self.se_reduce = self.se_expand = self.resid = None
        if expand_ratio != 1:
            size, pad = (kernel_size, 1) if fused else (1, 0)
            self.expand_conv = make(in_channels, hidden, size, padding=pad, **shape)
        if not fused:
            self.depthwise_conv = make(
                hidden, hidden, kernel_size, padding=1, stride=stride, **{**shape, "groups": hidden}
            )
        if se_ratio:
            squeezed = max(1, int(in_channels * se_ratio))
            self.se_reduce = layers.FusedConv2dReLU(hidden, squeezed, 1, bias=bias, **kwargs)
            self.se_expand = Conv2d(squeezed, hidden, 1, bias=bias, **kwargs)
        self.project_conv = layers.FusedConv2dBN(hidden, out_channels, 1, **shape)
        if stride == 1 and in_channels == out_channels:
            self.resid = Add(**({"context": kwargs["context"]} if "context" in kwargs else {}))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H div stride, W div stride)."""
        y = x
        for layer in (self.expand_conv, self.depthwise_conv):
            y = y if layer is None else layer(y)
        if self.se_reduce is not None and self.se_expand is not None:
            y = torch.sigmoid(self.se_expand(self.se_reduce(y.mean((2, 3), keepdim=True)))) * y
        y = self.project_conv(y)
        result: Tensor = y if self.resid is None else self.resid(y, x)
        return result
