"""Module that model and dataset files import as ``ai8x``.

It has all modules of :mod:`ai8x_tool.nn`, and helper functions under the names of the reference, but no state:
:func:`set_device` sets the context of the surrounding build, and ``ai8x.dev`` is a view of this context.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool import nn as _fused
from ai8x_tool.compat.modules import FusedSoftwareLinearReLU, QuantizationAwareModule, SoftwareLinear
from ai8x_tool.compat.quantizers import (
    AvgPoolFloor,
    AvgPoolFloorFunction,
    Clamp,
    Floor,
    FloorFunction,
    QuantizationFunction,
    Quantize,
    QuantizeFunction,
    Round,
    RoundFunction,
    get_activation,
    quantize_clamp,
    quantize_clamp_parameters,
    quantize_clamp_pool,
)
from ai8x_tool.data import folding
from ai8x_tool.device import find_device
from ai8x_tool.nn import *  # noqa: F403  (whatever that package offers is offered here)
from ai8x_tool.nn import BuildContext, Override, QatPolicy, fuse_batchnorm, start_qat, update_model
from ai8x_tool.nn.context import change_context, current_context
from ai8x_tool.nn.transform import drop_parameters

__all__ = [
    "AvgPoolFloor",
    "AvgPoolFloorFunction",
    "Clamp",
    "Floor",
    "FloorFunction",
    "FusedSoftwareLinearReLU",
    "QuantizationAwareModule",
    "QuantizationFunction",
    "Quantize",
    "QuantizeFunction",
    "Round",
    "RoundFunction",
    "SoftwareLinear",
    "fold",
    "fuse_bn_layers",
    "get_activation",
    "initiate_qat",
    "normalize",
    "quantize_clamp",
    "quantize_clamp_parameters",
    "quantize_clamp_pool",
    "set_device",
    "unfold",
    "unfold_batch",
    "update_model",
    "update_optimizer",
]
__all__ += _fused.__all__


def set_device(device: int | str, simulate: bool, round_avg: bool, verbose: bool = True) -> None:
    """Set the `device` (85 or 87, or a name) for the rest of the surrounding build."""
    change_context(BuildContext(find_device(str(device)), bool(simulate), bool(round_avg)))


def _dev() -> SimpleNamespace | None:
    """Return device and mode of the surrounding build, with the constants of the reference; None outside a build."""
    context = current_context()
    if context is None:
        return None
    return SimpleNamespace(
        device=context.device.die,
        simulate=context.simulate,
        round_avg=context.round_avg,
        DATA_BITS=8,
        ACTIVATION_BITS=8,
        WEIGHT_BITS=8,
        FULL_ACC_BITS=30,
        WIDE_LAYER_RESOLUTION_BITS=15,
        MAX_AVG_POOL=context.device.operators.pool_size,
        WEIGHT_INPUTS=256,
        WEIGHT_DEPTH=context.device.kernels_large,
    )


def __getattr__(name: str) -> Any:
    """Return ``dev`` for the surrounding build."""
    if name == "dev":
        return _dev()
    raise AttributeError(f"module 'ai8x' has no attribute {name!r}")


class normalize:  # noqa: N801  (the name that dataset files use)
    """Transform from [0, 1] to multiples of 1/128 in [−1, 127/128], or to the integers −128 … 127."""

    def __init__(self, args: Any) -> None:
        self.args = args

    def __call__(self, img: Tensor) -> Tensor:
        """Return the normalized tensor."""
        integers = img.sub(0.5).mul(256.0).round().clamp(min=-128, max=127)
        return integers if self.args.act_mode_8bit else integers.div(128.0)


class fold:  # noqa: N801
    """Transform that folds an image (C, H, W)."""

    def __init__(self, fold_ratio: int) -> None:
        self.fold_ratio = fold_ratio

    def __call__(self, img: Tensor) -> Tensor:
        """Return (C·r², H/r, W/r)."""
        return folding.fold(img, self.fold_ratio)


class unfold:  # noqa: N801
    """Transform that reverses :class:`fold` for one image (K, h, w)."""

    def __init__(self, fold_ratio: int) -> None:
        self.fold_ratio = fold_ratio

    def __call__(self, img: Tensor) -> Tensor:
        """Return (K div r², h·r, w·r)."""
        return folding.unfold(img, self.fold_ratio)


def unfold_batch(img_batch: Tensor, fold_ratio: int) -> Tensor:
    """Reverse folding for a batch (B, K, h, w)."""
    return folding.unfold(img_batch, fold_ratio)


def fuse_bn_layers(m: nn.Module) -> None:
    """Fold batch normalization into weights and biases of the model `m`."""
    fuse_batchnorm(m)


def initiate_qat(m: nn.Module, qat_policy: QatPolicy | Mapping[str, Any]) -> None:
    """Switch a model to quantization-aware training according to a policy."""
    if not isinstance(qat_policy, QatPolicy):
        given = (qat_policy.get("overrides") or {}).items()
        overrides = {name: Override(values.get("weight_bits"), values.get("shift_quantile")) for name, values in given}
        start, bits = qat_policy.get("start_epoch", 0), qat_policy["weight_bits"]
        qat_policy = QatPolicy(start, bits, qat_policy.get("shift_quantile", 1.0), overrides)
    start_qat(m, qat_policy)


def update_optimizer(m: nn.Module, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Remove parameters that the model no longer has from the optimizer, and return it."""
    drop_parameters(optimizer, m)
    return optimizer
