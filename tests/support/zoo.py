"""The published layer tables of the zoo's models, and the tables of the models that are here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.device import Device, find_device
from ai8x_tool.nn import FusedModule, build_context
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.hooks import Call, observed_calls
from ai8x_tool.plugins.find import find_model

TABLES = Path(__file__).resolve().parents[1] / "models" / "zoo_layers.txt"
"""For each model a line "# name device input classes bias weights biases norms outputs", then one for each layer: name,
operator, channels, kernel/padding/stride, pooling before it, activation, bias, batch normalization, output, inputs.
"""


@dataclass(frozen=True)
class ZooModel:
    """What is published about a model: `counts` are weights, biases and parameters of batch normalization."""

    name: str
    device: Device
    shape: tuple[int, ...]
    classes: int | None
    bias: bool
    counts: tuple[int, int, int]
    outputs: tuple[tuple[int, ...], ...]
    layers: tuple[str, ...]

    def build(self, *, simulate: bool = False, device: Device | None = None, **arguments: Any) -> nn.Module:
        """Return the model as published, but for what `arguments` change."""
        given = {} if self.classes is None else {"num_classes": self.classes}
        bits = 8 if simulate else None
        widths = {"weight_bits": bits, "bias_bits": bits, "quantize_activation": simulate}
        sizes = self.shape[-3:]
        given |= {"num_channels": sizes[0], "dimensions": (*sizes[1:], 1)[:2], "bias": self.bias, **widths, **arguments}
        with build_context(device or self.device, simulate=simulate):
            model: nn.Module = find_model(self.name).build(pretrained=False, **given)
        return model.eval()


@cache
def zoo() -> dict[str, ZooModel]:
    """Return all models by name."""
    found = {}
    for block in TABLES.read_text().split("# ")[1:]:
        head, *layers = block.splitlines()
        name, device, shape, classes, bias, weights, biases, norms, outputs = head.split()
        counts = (int(weights), int(biases), int(norms))
        number = None if classes == "-" else int(classes)
        sizes = tuple(_sizes(part) for part in outputs.split("+"))
        rows = tuple(layers)
        found[name] = ZooModel(name, find_device(device), _sizes(shape), number, bias == "bias", counts, sizes, rows)
    return found


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def counts(model: nn.Module) -> tuple[int, int, int]:
    """Return the numbers of weights, biases and parameters of batch normalization."""
    sums = [sum(v.numel() for k, v in model.named_parameters() if end in k) for end in ("op.weight", "op.bias", ".bn.")]
    return sums[0], sums[1], sums[2]


class _Origins(TorchDispatchMode):
    """Remembers for every tensor which layers it comes from, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[int, tuple[str, ...]] = {}
        self.kept: list[Tensor] = []  # so that no address is used twice

    def of(self, values: Any) -> tuple[str, ...]:
        tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
        found = [name for t in tensors for name in self.origins.get(t.untyped_storage().data_ptr(), ())]
        return tuple(dict.fromkeys(found))

    def mark(self, values: Any, origins: tuple[str, ...]) -> None:
        for tensor in tree_leaves(values):
            if isinstance(tensor, Tensor):
                self.origins[tensor.untyped_storage().data_ptr()] = origins
                self.kept.append(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result, origins = func(*args, **(kwargs or {})), self.of(args)
        if origins:
            self.mark(result, origins)
        return result


def layer_table(model: nn.Module, shape: tuple[int, ...]) -> tuple[list[str], Any]:
    """Run the model on zeros; return a line for every call of a layer, as in the published tables, and the output."""
    tracker, rows, reads = _Origins(), [], {}
    kinds = FusedModule | Elementwise | SoftwareLinear | nn.MaxPool2d
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, kinds)]

    def before(call: Call[nn.Module]) -> None:
        reads[call.name] = tracker.of(call.args)

    def after(call: Call[nn.Module], output: Tensor) -> None:
        rows.append(
            f"{call.name} {_row(call.module)} {'x'.join(map(str, output.shape[1:]))} {','.join(reads[call.name])}"
        )
        tracker.mark(output, (call.name,))

    with torch.no_grad(), tracker, observed_calls(layers, before=before, after=after):
        inputs = torch.zeros(1, *shape)
        tracker.mark(inputs, ("input",))
        return rows, model(inputs)


def _row(module: nn.Module) -> str:
    if isinstance(module, Elementwise):
        return f"{type(module).__name__} - - - - - -"
    if isinstance(module, SoftwareLinear):
        return _operator_row(module.op, "SoftwareLinear", "-", "-", "-")
    if isinstance(module, nn.MaxPool2d):
        return f"Pool - - max{module.kernel_size}/{module.stride} - - -"
    assert isinstance(module, FusedModule)
    pool = "-"
    if module.pooling is not None:
        size = "x".join(map(str, dict.fromkeys(module.pooling.size)))
        pool = f"{module.pooling.kind.lower()}{size}/{module.pooling.stride[0]}"
    if module.op is None:
        return f"Pool - - {pool} - - -"
    norm = "-" if module.bn is None else "A" if module.bn.affine else "NA"
    kind = type(module.op).__name__
    if getattr(module.op, "groups", 1) > 1:
        kind += ":depthwise"
    if getattr(module.op, "dilation", (1,))[0] > 1:
        kind += f":dil{module.op.dilation[0]}"
    return _operator_row(module.op, kind + ":wide" * module.wide, pool, module.activation or "-", norm)


def _operator_row(op: Any, kind: str, pool: str, activation: str, norm: str) -> str:
    if isinstance(op, nn.Linear):
        channels, geometry = f"{op.in_features}>{op.out_features}", "-"
    else:
        channels = f"{op.in_channels}>{op.out_channels}"
        geometry = f"{op.kernel_size[0]}/{op.padding[0]}/{op.stride[0]}"
    return f"{kind} {channels} {geometry} {pool} {activation} {'-' if op.bias is None else 'y'} {norm}"
