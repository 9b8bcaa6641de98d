"""Clipped weights and saturated outputs of each layer."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.nn import named_fused_modules
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.hooks import Call, observed_calls
from ai8x_tool.nn.quantizers import ACTIVATION_HIGH, ACTIVATION_LOW, WIDE_HIGH, WIDE_LOW, output_shift
from ai8x_tool.training.world import ALONE, World


@dataclass(frozen=True)
class LayerClipping:
    """Shares (0…1) of a layer's values that are clipped.

    `weights_clipped` is the share of weights that quantization clips (unknown for a quantized model),
    `weights_at_limits` that of quantized weights at a limit of their range, `outputs_at_limits` that of outputs at a
    limit, including values clipped to it. None means that the share is unknown or does not apply.
    """

    name: str
    weight_bits: int | None
    weights_clipped: float | None
    weights_at_limits: float | None
    outputs_at_limits: float | None

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(vars(self))


class ClippingMeter:
    """Counts clipped values of all fused modules while a model processes samples, over all processes of `world`."""

    def __init__(self, model: nn.Module, world: World = ALONE) -> None:
        self._layers, self._world = dict(named_fused_modules(model)), world
        self._at_limits: dict[str, Tensor | int] = dict.fromkeys(self._layers, 0)
        self._outputs = dict.fromkeys(self._layers, 0)

    def watching(self) -> AbstractContextManager[None]:
        """Count the outputs of all forward passes inside the block."""
        return observed_calls(self._layers.items(), after=self._count)

    def _count(self, call: Call[FusedModule], output: Tensor) -> None:
        if not self._world.counts:
            return
        low, high = output_limits(call.module)
        extremes = torch.count_nonzero(output >= high)
        if low < 0:
            extremes = extremes + torch.count_nonzero(output <= low)
        self._at_limits[call.name] = self._at_limits[call.name] + extremes.detach()
        self._outputs[call.name] += output.numel()

    def result(self) -> list[LayerClipping]:
        """Return the shares of the counted outputs, and those of the current weights, for each layer."""
        if not self._layers:
            return []
        counts = torch.tensor([[int(self._at_limits[name]), self._outputs[name]] for name in self._layers])
        counts = self._world.sum(counts.to(next(iter(self._layers.values())).weight_bits.device)).cpu()
        found = zip(self._layers.items(), counts.tolist(), strict=True)
        return [self._layer(name, module, *numbers) for (name, module), numbers in found]

    def _layer(self, name: str, module: FusedModule, at_limits: int, values: int) -> LayerClipping:
        outputs = at_limits / values if values else None
        if module.op is None:
            return LayerClipping(name, None, None, None, outputs)
        bits = int(module.weight_bits) or 8
        return LayerClipping(name, bits, *_weight_shares(module, bits), outputs)


def output_limits(module: FusedModule) -> tuple[float, float]:
    """Return the limits of a module's outputs; after an activation the lower one is 0, which is not clipping."""
    if module.wide:
        return (-(2.0**29), 2.0**29 - 1) if module.simulate else (WIDE_LOW, WIDE_HIGH)
    low, high = (-128.0, 127.0) if module.simulate else (ACTIVATION_LOW, ACTIVATION_HIGH)
    return (low if module.activation is None else 0.0), high


@torch.no_grad()
def _weight_shares(module: FusedModule, bits: int) -> tuple[float | None, float]:
    """Return the shares of weights clipped and at a limit; a float model is treated as if quantized to `bits`."""
    assert module.op is not None and isinstance(module.op.weight, Tensor)
    weight, levels = module.op.weight.detach(), 2 ** (bits - 1)
    clipped = None
    if not module.simulate:
        bias = module.op.bias if module.bn is None else None
        assert bias is None or isinstance(bias, Tensor)
        shift = output_shift(weight, bias, float(module.shift_quantile))
        weight = torch.floor(weight * (levels * 2.0**-shift) + 0.5)
        clipped = _share((weight < -levels) | (weight > levels - 1))
    return clipped, _share((weight <= -levels) | (weight >= levels - 1))


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())
