"""Folding of batch normalization in a state dict, without the model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.text import counted

_MEAN = ".bn.running_mean"


@dataclass(frozen=True)
class BatchNormFacts:
    """Facts about batch normalization that a state dict does not contain.

    `eps` by layer (default: torch's 1e-5); `transposed` by layer: whether its operator is a transposed convolution
    (default: inferred from the shape); `factor`: multiplier of the normalized result.
    """

    eps: Mapping[str, float] = field(default_factory=dict)
    transposed: Mapping[str, bool] = field(default_factory=dict)
    factor: float = 0.25


def normalized_layers(state: Mapping[str, object]) -> list[str]:
    """Return the names of the layers that have batch normalization statistics, in stored order."""
    return [key.removesuffix(_MEAN) for key in state if key.endswith(_MEAN)]


def fold_batchnorm(
    state: Mapping[str, Tensor],
    layers: list[str],
    console: Console,
    where: str,
    facts: BatchNormFacts = BatchNormFacts(),
) -> OrderedDict[str, Tensor]:
    """Return `state` with the batch normalization of `layers` (and its division by 4) folded into weights and biases.

    A missing bias is inserted after the weights. Raises Ai8xError if tensors are missing or their shapes do not match.
    """
    done: dict[str, Tensor] = {}
    for layer in layers:
        weight, bias = _fold(state, layer, facts, where)
        done |= {f"{layer}.op.weight": weight, f"{layer}.op.bias": bias}
    result: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in state.items():
        if key.rpartition(".")[0] in {f"{layer}.bn" for layer in layers}:
            continue
        result[key] = done.get(key, value)
        bias_key = key.removesuffix("weight") + "bias"
        if key in done and key.endswith(".weight") and bias_key not in state:
            result[bias_key] = done[bias_key]
    if layers:
        text = f"batch normalization of {counted(len(layers), 'layer')} folded into weights and biases"
        console.info(f"{where}: {text}", once=True)
        _warn_undecided(state, layers, facts, console, where)
    return result


def _fold(state: Mapping[str, Tensor], layer: str, facts: BatchNormFacts, where: str) -> tuple[Tensor, Tensor]:
    weight = state.get(f"{layer}.op.weight")
    mean, variance = state[f"{layer}{_MEAN}"], state.get(f"{layer}.bn.running_var")
    if weight is None or variance is None:
        missing = f"{layer}.op.weight" if weight is None else f"{layer}.bn.running_var"
        raise Ai8xError(f"batch normalization of {layer!r} cannot be folded: there is no {missing!r}", where=where)
    channels = len(mean) if mean.dim() == 1 else 0
    gain, offset = state.get(f"{layer}.bn.weight"), state.get(f"{layer}.bn.bias")
    bias = state.get(f"{layer}.op.bias", torch.zeros(channels))
    given = [value.shape for value in (mean, variance, gain, offset, bias) if value is not None]
    if channels == 0 or any(shape != (channels,) for shape in given) or weight.dim() < 2:
        raise Ai8xError(f"batch normalization of {layer!r} cannot be folded: its tensors differ in size", where=where)
    factor = torch.rsqrt(variance.float() + facts.eps.get(layer, 1e-5)) * facts.factor
    if gain is not None:
        factor = factor * gain
    shift = torch.zeros(channels) if offset is None else offset * facts.factor
    scales = _by_output(factor, weight, _is_transposed(weight, channels, facts.transposed.get(layer)), layer, where)
    return weight.float() * scales, (bias.float() - mean) * factor + shift


def _is_transposed(weight: Tensor, channels: int, known: bool | None) -> bool:
    """Return whether the outputs are the second axis; the shape decides only where nothing else is known."""
    return weight.shape[0] != channels if known is None else known


def _by_output(factor: Tensor, weight: Tensor, transposed: bool, layer: str, where: str) -> Tensor:
    """Return one factor per output channel, in a shape that broadcasts to `weight`."""
    kernel = (1,) * (weight.dim() - 2)
    if not transposed and weight.shape[0] == len(factor):
        return factor.view(-1, 1, *kernel)
    groups, rest = divmod(len(factor), weight.shape[1])
    if not transposed or rest or weight.shape[0] % groups:
        shapes = f"weights {'×'.join(map(str, weight.shape))}, {len(factor)} channels"
        raise Ai8xError(f"batch normalization of {layer!r} cannot be folded: {shapes}", where=where)
    by_group = factor.view(groups, 1, weight.shape[1], *kernel)
    inputs = weight.shape[0] // groups
    return by_group.expand(-1, inputs, -1, *kernel).reshape(weight.shape[0], weight.shape[1], *kernel)


def _warn_undecided(
    state: Mapping[str, Tensor], layers: list[str], facts: BatchNormFacts, console: Console, where: str
) -> None:
    """Warn about layers that may be transposed convolutions by their shape, if the file contains any of those."""
    unknown = [layer for layer in layers if layer not in facts.transposed]
    shapes = {layer: state[f"{layer}.op.weight"].shape for layer in unknown}
    if not any(shape[0] != len(state[f"{layer}{_MEAN}"]) for layer, shape in shapes.items()):
        return
    square = [layer for layer, shape in shapes.items() if len(shape) == 4 and shape[0] == shape[1] and shape[2] == 3]
    if square:
        names = ", ".join(square[:3]) + (", …" if len(square) > 3 else "")
        text = f"treated as ordinary convolutions: {names}; if they are transposed, pass the network description (-c)"
        console.warn(f"{where}: {text}")
