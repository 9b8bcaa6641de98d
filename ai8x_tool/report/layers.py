"""What a model consists of and how it uses its number range, layer by layer."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.nn import named_fused_modules
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.quantizers import ACTIVATION_HIGH, ACTIVATION_LOW, WIDE_HIGH, WIDE_LOW, output_shift

Shape = tuple[int, ...]


# -- saturation -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerClipping:
    """How much of a layer is clipped: shares 0…1.

    `weights_clipped` counts weights that quantization cuts off; a quantized model cannot tell. `weights_at_limits` counts
    quantized weights at an end of their range, `outputs_at_limits` output values at one, where larger ones end up too.
    Both are None where there are no such values.
    """

    name: str
    weight_bits: int | None
    weights_clipped: float | None
    weights_at_limits: float | None
    outputs_at_limits: float | None

    def document(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return dict(vars(self))


class ClippingMeter:
    """Counts clipped values of all fused modules while samples run through a model."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = dict(named_fused_modules(model))
        self._at_limits = dict.fromkeys(self._layers, 0)
        self._outputs = dict.fromkeys(self._layers, 0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the outputs of all passes inside the block."""
        handles = [module.register_forward_hook(self._hook(name)) for name, module in self._layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        low, high = output_limits(self._layers[name])

        def count(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            extremes = torch.count_nonzero(output >= high)
            if low < 0:
                extremes = extremes + torch.count_nonzero(output <= low)
            self._at_limits[name] = self._at_limits[name] + extremes.detach()
            self._outputs[name] += output.numel()

        return count

    def result(self) -> list[LayerClipping]:
        """Return what was counted, and the weights as they are now."""
        return [self._layer(name, module) for name, module in self._layers.items()]

    def _layer(self, name: str, module: FusedModule) -> LayerClipping:
        values = self._outputs[name]
        outputs = int(self._at_limits[name]) / values if values else None
        if module.op is None:
            return LayerClipping(name, None, None, None, outputs)
        bits = int(module.weight_bits) or 8
        clipped, at_limits = _weight_shares(module, bits)
        return LayerClipping(name, bits, clipped, at_limits, outputs)


def output_limits(module: FusedModule) -> tuple[float, float]:
    """Return the smallest and the largest output of a module, 0 for the smallest where that is not clipping."""
    if module.wide:
        return (-(2.0**29), 2.0**29 - 1) if module.simulate else (WIDE_LOW, WIDE_HIGH)
    low, high = (-128.0, 127.0) if module.simulate else (ACTIVATION_LOW, ACTIVATION_HIGH)
    return (low if module.activation is None else 0.0), high


@torch.no_grad()
def _weight_shares(module: FusedModule, bits: int) -> tuple[float | None, float]:
    """Return the shares of weights that are cut off and that are at a limit; a float model's as if it had `bits`."""
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


# -- size and work --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerWork:
    """One call of a layer for one sample: shapes without the batch, parameters, multiply-accumulate operations."""

    name: str
    kind: str
    input: Shape
    output: Shape
    weights: int
    biases: int
    macs: int

    def document(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {**vars(self), "input": list(self.input), "output": list(self.output)}


@torch.no_grad()
def measure_work(model: nn.Module, sample: Tensor) -> list[LayerWork]:
    """Run `sample` (B, …) through `model`; return the work of all its layers in the order of their calls."""
    rows: list[LayerWork] = []
    handles = [module.register_forward_hook(_recorder(name, module, rows)) for name, module in layers(model)]
    training = model.training
    try:
        model.eval()(sample)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return rows


def layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield fused and element-wise modules, and modules of torch that are not inside of these, with their names."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if name.startswith(inside) and inside:
            continue
        if isinstance(module, FusedModule | Elementwise):
            inside = (*inside, f"{name}." if name else "")
            yield name, module
        elif not any(True for _ in module.children()):
            yield name, module


def _recorder(name: str, module: nn.Module, rows: list[LayerWork]) -> Any:
    def record(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not (inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            return
        op = getattr(module, "op", None) if isinstance(module, FusedModule) else module
        weight, bias = getattr(op, "weight", None), getattr(op, "bias", None)
        weights, biases = (value.numel() if isinstance(value, Tensor) else 0 for value in (weight, bias))
        shapes = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])
        macs = _macs(op, *shapes, pooled=_pooled(module, shapes[0]))
        rows.append(LayerWork(name, type(module).__name__, *shapes, weights, biases, macs))

    return record


def _pooled(module: nn.Module, shape: Shape) -> Shape:
    """Return the shape of the data behind a fused module's pooling."""
    pooling = module.pooling if isinstance(module, FusedModule) else None
    if pooling is None:
        return shape
    sizes = zip(shape[1:], pooling.size, pooling.stride, pooling.dilation, strict=True)
    return shape[0], *((length - dilation * (size - 1) - 1) // stride + 1 for length, size, stride, dilation in sizes)


def _macs(op: Any, before: Shape, after: Shape, pooled: Shape) -> int:
    """Multiplications that an operator does; a transposed convolution does them once for every input."""
    if isinstance(op, nn.ConvTranspose1d | nn.ConvTranspose2d):
        return math.prod(pooled) * op.out_channels // op.groups * math.prod(op.kernel_size)
    if isinstance(op, nn.Conv1d | nn.Conv2d):
        return math.prod(after) * op.in_channels // op.groups * math.prod(op.kernel_size)
    if isinstance(op, nn.Linear):
        return math.prod(after) * op.in_features
    return 0


# -- weights --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightTensor:
    """A weight tensor: shape, elements, the share of zeros, and the distribution of the values."""

    name: str
    shape: Shape
    elements: int
    sparsity: float
    deviation: float
    mean: float
    magnitude: float

    def document(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {**vars(self), "shape": list(self.shape)}


@torch.no_grad()
def weight_tensors(model: nn.Module) -> list[WeightTensor]:
    """Return all tensors of two axes and more."""
    rows = []
    for name, value in model.state_dict().items():
        if value.dim() < 2 or not value.is_floating_point():
            continue
        values = value.double()
        spread = float(values.std(correction=0)), float(values.mean()), float(values.abs().mean())
        rows.append(WeightTensor(name, tuple(value.shape), value.numel(), _share(value == 0), *spread))
    return rows


def weights_csv(rows: list[WeightTensor]) -> str:
    """Return the weight tensors as a CSV file."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("name", "shape", "elements", "sparsity_percent", "std", "mean", "abs_mean"))
    for row in rows:
        numbers = (f"{value:.6g}" for value in (100 * row.sparsity, row.deviation, row.mean, row.magnitude))
        writer.writerow((row.name, "x".join(map(str, row.shape)), row.elements, *numbers))
    return stream.getvalue()
