"""Facts about a model: shapes, parameters and operations of its layers, and its weight tensors."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.hooks import Call, observed_calls

Shape = tuple[int, ...]


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
        """Return the fields as plain values for JSON."""
        return {**vars(self), "input": list(self.input), "output": list(self.output)}


@torch.no_grad()
def measure_work(model: nn.Module, sample: Tensor) -> list[LayerWork]:
    """Run `sample` (B, …) through `model`; return the work of all its layers in call order."""
    rows: list[LayerWork] = []

    def add(call: Call[nn.Module], output: Any) -> None:
        if call.args and isinstance(call.input, Tensor) and isinstance(output, Tensor):
            rows.append(_work(call.name, call.module, tuple(call.input.shape[1:]), tuple(output.shape[1:])))

    training = model.training
    try:
        with observed_calls(layers(model), after=add):
            model.eval()(sample)
    finally:
        model.train(training)
    return rows


def layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and modules: fused and element-wise modules, and torch modules that are not part of one of these."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if name.startswith(inside) and inside:
            continue
        if isinstance(module, FusedModule | Elementwise):
            inside = (*inside, f"{name}." if name else "")
            yield name, module
        elif not any(True for _ in module.children()):
            yield name, module


def _work(name: str, module: nn.Module, before: Shape, after: Shape) -> LayerWork:
    op = module.op if isinstance(module, FusedModule) else module
    weight, bias = getattr(op, "weight", None), getattr(op, "bias", None)
    weights, biases = (value.numel() if isinstance(value, Tensor) else 0 for value in (weight, bias))
    macs = _macs(op, after, pooled=_pooled(module, before))
    return LayerWork(name, type(module).__name__, before, after, weights, biases, macs)


def _pooled(module: nn.Module, shape: Shape) -> Shape:
    """Return the shape of the data after a fused module's pooling."""
    pooling = module.pooling if isinstance(module, FusedModule) else None
    if pooling is None:
        return shape
    sizes = zip(shape[1:], pooling.size, pooling.stride, pooling.dilation, strict=True)
    return shape[0], *((length - dilation * (size - 1) - 1) // stride + 1 for length, size, stride, dilation in sizes)


def _macs(op: Any, after: Shape, pooled: Shape) -> int:
    """Return the number of multiplications; a transposed convolution performs them once for every input element."""
    if isinstance(op, nn.ConvTranspose1d | nn.ConvTranspose2d):
        return math.prod(pooled) * op.out_channels // op.groups * math.prod(op.kernel_size)
    if isinstance(op, nn.Conv1d | nn.Conv2d):
        return math.prod(after) * op.in_channels // op.groups * math.prod(op.kernel_size)
    if isinstance(op, nn.Linear):
        return math.prod(after) * op.in_features
    return 0


@dataclass(frozen=True)
class WeightTensor:
    """A weight tensor: shape, number of elements, share of zeros, and distribution of the values."""

    name: str
    shape: Shape
    elements: int
    sparsity: float
    deviation: float
    mean: float
    magnitude: float

    def document(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return {**vars(self), "shape": list(self.shape)}


@torch.no_grad()
def weight_tensors(model: nn.Module) -> list[WeightTensor]:
    """Return facts about all floating-point tensors of at least two axes."""
    rows = []
    for name, value in model.state_dict().items():
        if value.dim() < 2 or not value.is_floating_point():
            continue
        values = value.double()
        spread = float(values.std(correction=0)), float(values.mean()), float(values.abs().mean())
        rows.append(WeightTensor(name, tuple(value.shape), value.numel(), float((value == 0).double().mean()), *spread))
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
