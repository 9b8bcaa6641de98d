"""Fused 1D and 2D convolutions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool.nn.constraints import (
    check_1d,
    check_2d,
    check_channels,
    check_groups,
    check_stride,
    choice,
    pooling_of,
    require,
)
from ai8x_tool.nn.context import BuildContext, resolve_context
from ai8x_tool.nn.fused import UNSET, FusedOperator, Unset


class Conv2d(FusedOperator):
    """2D convolution, optionally with pooling before it and batch normalization and activation after it.

    Pooling precedes padding by `padding` zeros on each side. `pool_stride=None` is the size of the window. ``op`` may
    be 'ConvTranspose2d' (stride 2, output padding 1). `batchnorm` is None, 'Affine' or 'NoAffine'; its output is
    divided by 4 unless activation ranges are measured. With `wide`, the output has 32 bits and no activation. Raises
    ConstraintError for arguments that the device does not support.
    """

    operator: ClassVar[str] = "2D convolution"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        op: str | None = None,
        pooling: str | None = None,
        pool_size: int | tuple[int, int] = 2,
        pool_stride: int | tuple[int, int] | None = 2,
        pool_dilation: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        activation: str | None = None,
        wide: bool = False,
        batchnorm: str | Unset | None = UNSET,
        weight_bits: int | None = None,
        bias_bits: int | None = None,
        quantize_activation: bool = False,
        groups: int | None = None,
        eps: float = 1e-05,
        momentum: float = 0.05,
        *,
        context: BuildContext | None = None,
    ) -> None:
        owner, build = type(self).__name__, resolve_context(context, type(self).__name__)
        op = choice(op or ("ConvTranspose2d" if self.fixed.transposed else "Conv2d"), _OPERATORS_2D, "op", owner)
        kind = self._choose("pooling", pooling)
        pool = pooling_of(kind, pool_size, pool_stride, pool_dilation, count=2, owner=owner, context=build)
        super().__init__(
            pooling=pool,
            activation=self._choose("activation", activation),
            wide=wide,
            weight_bits=weight_bits,
            bias_bits=bias_bits,
            quantize_activation=quantize_activation,
            context=build,
        )
        groups = _groups(groups, in_channels, self.fixed.depthwise)
        check_groups(groups, owner, build)
        check_channels(in_channels, out_channels, groups, owner)
        transposed = op == "ConvTranspose2d"
        require(transposed or not self.fixed.transposed, owner, f"op must be 'ConvTranspose2d', not {op!r}")
        step = check_stride(stride, count=2, transposed=transposed, pooled=pool is not None, owner=owner, context=build)
        kernel, pad = check_2d(kernel_size, padding, dilation, owner=owner, context=build)
        normalization = self._choose_batchnorm(batchnorm, bias)
        shape: dict[str, Any] = {"stride": step, "padding": pad, "bias": bias, "groups": groups}
        make = nn.ConvTranspose2d if transposed else nn.Conv2d
        shape |= {"output_padding": 1} if transposed else {}
        bn = nn.BatchNorm2d(out_channels, eps, momentum, normalization == "Affine") if normalization else None
        self._attach(make(in_channels, out_channels, kernel, **shape), bn)

    def _compute(self, op: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(op, nn.ConvTranspose2d):
            return F.conv_transpose2d(x, weight, bias, op.stride, op.padding, op.output_padding, op.groups)  # type: ignore[arg-type]
        assert isinstance(op, nn.Conv2d)
        return F.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)

    def _channels(self, weight: Tensor) -> int:
        if isinstance(self.op, nn.ConvTranspose2d):
            return weight.shape[1] * self.op.groups
        return weight.shape[0]

    def channel_sums(self, magnitudes: Tensor) -> Tensor:
        """Return the sums per output channel, which is the second axis of transposed convolutions."""
        if isinstance(self.op, nn.ConvTranspose2d):
            return magnitudes.transpose(0, 1).flatten(1).sum(1)
        return super().channel_sums(magnitudes)


class Conv1d(FusedOperator):
    """1D convolution, optionally with pooling before it and batch normalization and activation after it.

    Arguments as for :class:`Conv2d`, without ``op``.
    """

    operator: ClassVar[str] = "1D convolution"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        pooling: str | None = None,
        pool_size: int = 2,
        pool_stride: int | None = 2,
        pool_dilation: int = 1,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
        activation: str | None = None,
        wide: bool = False,
        batchnorm: str | Unset | None = UNSET,
        weight_bits: int | None = None,
        bias_bits: int | None = None,
        quantize_activation: bool = False,
        groups: int | None = None,
        eps: float = 1e-05,
        momentum: float = 0.05,
        *,
        context: BuildContext | None = None,
    ) -> None:
        owner, build = type(self).__name__, resolve_context(context, type(self).__name__)
        kind = self._choose("pooling", pooling)
        pool = pooling_of(kind, pool_size, pool_stride, pool_dilation, count=1, owner=owner, context=build)
        super().__init__(
            pooling=pool,
            activation=self._choose("activation", activation),
            wide=wide,
            weight_bits=weight_bits,
            bias_bits=bias_bits,
            quantize_activation=quantize_activation,
            context=build,
        )
        groups = _groups(groups, in_channels, self.fixed.depthwise)
        check_groups(groups, owner, build)
        check_channels(in_channels, out_channels, groups, owner)
        step = check_stride(stride, count=1, transposed=False, pooled=pool is not None, owner=owner, context=build)
        kernel, pad, stretch = check_1d(in_channels, kernel_size, padding, dilation, owner=owner, context=build)
        normalization = self._choose_batchnorm(batchnorm, bias)
        bn = nn.BatchNorm1d(out_channels, eps, momentum, normalization == "Affine") if normalization else None
        op = nn.Conv1d(in_channels, out_channels, kernel, step, pad, stretch, groups, bias)
        self._attach(op, bn)

    def _compute(self, op: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert isinstance(op, nn.Conv1d)
        return F.conv1d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)


_OPERATORS_2D = ("Conv2d", "ConvTranspose2d")


def _groups(given: int | None, in_channels: int, depthwise: bool) -> int:
    return in_channels if depthwise and given is None else 1 if given is None else given
