"""Base classes of the layers that model files define themselves."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool.nn import layers
from ai8x_tool.nn.constraints import pooling_of, require
from ai8x_tool.nn.context import BuildContext, resolve_context
from ai8x_tool.nn.fused import FusedModule, FusedOperator
from ai8x_tool.nn.pooling import Pooling

_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class QuantizationAwareModule(FusedModule, metaclass=ABCMeta):
    """Fused module composed of torch modules: pooling, operator and batch normalization.

    `pooling` is 'Max', 'Avg' or None, and `pool` the torch module that computes it; `op` is a Conv1d, Conv2d,
    ConvTranspose2d or Linear of torch, `func` its function (``F.conv2d``), which is looked up if not given. All fused
    modules are instances of this class.
    """

    def __init__(
        self,
        pooling: str | None = None,
        activation: str | None = None,
        wide: bool = False,
        weight_bits: int | None = None,
        bias_bits: int | None = None,
        quantize_activation: bool = False,
        pool: nn.Module | None = None,
        op: nn.Module | None = None,
        func: Callable[..., Tensor] | None = None,
        bn: nn.Module | None = None,
        shift_quantile: float = 1.0,
        *,
        context: BuildContext | None = None,
    ) -> None:
        owner = type(self).__name__
        build = resolve_context(context, owner)
        super().__init__(
            pooling=None if pool is None else _pooling(pooling, pool, owner, build),
            activation=activation,
            wide=wide,
            weight_bits=weight_bits,
            bias_bits=bias_bits,
            quantize_activation=quantize_activation,
            context=build,
        )
        require(pooling is None or pool is not None, owner, f"pooling {pooling!r} without a module that pools")
        self.shift_quantile.data.fill_(shift_quantile)
        self.func = func
        if op is not None:
            known = isinstance(op, (*_CONVOLUTIONS, nn.Linear))
            require(known, owner, f"the operator {type(op).__name__} does not exist on the accelerator")
            self._attach(op, bn)
        self.update()

    def _compute(self, op: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(op, nn.Linear):
            return (self.func or F.linear)(x, weight, bias)
        assert isinstance(op, _CONVOLUTIONS)
        if isinstance(op, nn.ConvTranspose2d):
            transposed = self.func or F.conv_transpose2d
            return transposed(x, weight, bias, op.stride, op.padding, op.output_padding, op.groups)  # type: ignore[arg-type]
        default = F.conv1d if isinstance(op, nn.Conv1d) else F.conv2d
        return (self.func or default)(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)

    def _channels(self, weight: Tensor) -> int:
        return weight.shape[1] * self.op.groups if isinstance(self.op, nn.ConvTranspose2d) else weight.shape[0]

    def channel_sums(self, magnitudes: Tensor) -> Tensor:
        """Return the sums of magnitudes by output channel, whichever axis that is."""
        transposed = isinstance(self.op, nn.ConvTranspose2d)
        return super().channel_sums(magnitudes.transpose(0, 1) if transposed else magnitudes)


for _family in (FusedOperator, layers.MaxPool1d, layers.MaxPool2d, layers.AvgPool1d, layers.AvgPool2d):
    QuantizationAwareModule.register(_family)


def _pooling(kind: str | None, pool: nn.Module, owner: str, context: BuildContext) -> Pooling | None:
    """Return the pooling of the torch module `pool`, None without one. Raises for padded or other pooling modules."""
    require(isinstance(pool, _POOLS), owner, f"{type(pool).__name__} is not a pooling of the accelerator")
    assert isinstance(pool, _POOLS)
    found = "Max" if isinstance(pool, nn.MaxPool1d | nn.MaxPool2d) else "Avg"
    require(kind in (None, found), owner, f"pooling is {kind!r}, but the module is {type(pool).__name__}")
    count = 1 if isinstance(pool, nn.MaxPool1d | nn.AvgPool1d) else 2
    unpadded = not any(pool.padding) if isinstance(pool.padding, tuple) else pool.padding == 0
    require(unpadded, owner, f"pooling with padding {pool.padding}: the accelerator does not pad here")

    def plain(value: Any) -> Any:
        return value[0] if isinstance(value, tuple) and len(value) == 1 else value

    dilation = plain(getattr(pool, "dilation", 1))
    return pooling_of(
        found, plain(pool.kernel_size), plain(pool.stride), dilation, count=count, owner=owner, context=context
    )


class SoftwareLinear(nn.Module):
    """Linear layer that the deployed program computes on its CPU core: neither quantized nor clamped.

    `unit` is the real value of a weight of 1, since quantized checkpoints contain integers for this layer as well.
    """

    relu = False
    unit = 1.0

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pooling: str | None = None,
        bias: bool | None = None,
        **_ignored: Any,
    ) -> None:
        super().__init__()
        require(pooling is None, type(self).__name__, "a linear layer has no pooling")
        self.op = nn.Linear(in_features, out_features, bias is True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, out_features)."""
        y: Tensor = self.op(x)
        return y.relu() if self.relu else y


class FusedSoftwareLinearReLU(SoftwareLinear):
    """Software linear layer with ReLU."""

    relu = True
