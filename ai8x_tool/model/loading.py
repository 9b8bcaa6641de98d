"""Adaptation of stored weights and a model to each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool.checkpoint import Checkpoint, repair_checkpoint
from ai8x_tool.checkpoint.repair import missing_bookkeeping
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.batchnorm_folding import BatchNormFacts, fold_batchnorm, normalized_layers
from ai8x_tool.network.selection import chosen_channels
from ai8x_tool.nn import fuse_batchnorm, named_fused_modules
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.text import counted

_WEIGHT = ".op.weight"


def fitting_state(model: nn.Module, checkpoint: Checkpoint, console: Console) -> Mapping[str, Tensor]:
    """Return the checkpoint's tensors with the names and the batch normalization that `model` expects.

    A layer whose batch normalization is folded in only one of the two is folded in the other, too. Raises Ai8xError if
    that is not possible.
    """
    repaired = repair_checkpoint(checkpoint, console, known=set(model.state_dict()))
    state = {key: torch.from_numpy(np.array(value)) for key, value in repaired.state.items()}
    stored = set(normalized_layers(state))
    only_stored = []
    folded = 0
    for name, module in named_fused_modules(model):
        if module.bn is not None and name not in stored:
            fuse_batchnorm(module)
            folded += 1
        elif module.bn is None and name in stored and _same_weights(module, state.get(f"{name}.op.weight")):
            only_stored.append(name)
            _require_bias(name, module, str(checkpoint.path))
    if folded and stored:
        text = f"batch normalization of {counted(folded, 'layer')} is already folded, that of other layers is not"
        console.info(f"{checkpoint.path}: {text}", once=True)
    missing = missing_bookkeeping(state, [name for name, module in named_fused_modules(model) if module.op is not None])
    for parameter, count in missing.items():
        default = 1 if parameter == "shift_quantile" else 0
        console.info(f"{checkpoint.path}: {counted(count, 'layer')} without {parameter}: {default} is used", once=True)
    if only_stored:
        return fold_batchnorm(state, only_stored, console, str(checkpoint.path), batchnorm_facts(model))
    return state


def without_data_moves(state: Mapping[str, Tensor], names: list[str], console: Console) -> list[str]:
    """Return `names` without those of quantized layers that only move data.

    Such layers were inserted because a device needed them; the model computes the same function without them.
    """
    layers = {name.removesuffix(_WEIGHT) for name in names if name.endswith(_WEIGHT)}
    moves = sorted(layer for layer in layers if _only_moves(state, layer))
    if moves:
        console.detail(f"layers that only move data, which the model does not contain: {', '.join(moves)}")
    return [name for name in names if name.removesuffix(_WEIGHT) not in moves and name.rpartition(".")[0] not in moves]


def _only_moves(state: Mapping[str, Tensor], layer: str) -> bool:
    """Return whether a layer is a 1×1 convolution whose outputs are input channels, or zero."""
    weights = state[layer + _WEIGHT].numpy()
    bits, shift = (int(state.get(f"{layer}.{key}", torch.zeros(1))) for key in ("weight_bits", "output_shift"))
    plain = weights.ndim > 2 and weights[0, 0].size == 1 and f"{layer}.op.bias" not in state
    return plain and chosen_channels(weights.reshape(weights.shape[:2]), shift + 8 - (bits or 8)) is not None


def batchnorm_facts(model: nn.Module) -> BatchNormFacts:
    """Return the facts about batch normalization that `model` contains and its state dict lacks."""
    modules = dict(named_fused_modules(model))
    norms = {name: module.bn for name, module in modules.items()}
    eps = {name: bn.eps for name, bn in norms.items() if isinstance(bn, nn.BatchNorm1d | nn.BatchNorm2d)}
    transposed = {name: isinstance(module.op, nn.ConvTranspose2d) for name, module in modules.items()}
    factors = {module.batchnorm_factor for module in modules.values()}
    return BatchNormFacts(eps, transposed, factors.pop() if factors else BatchNormFacts.factor)


def _same_weights(module: FusedModule, weights: Tensor | None) -> bool:
    own = getattr(module.op, "weight", None)
    return own is not None and weights is not None and own.shape == weights.shape


def _require_bias(name: str, module: FusedModule, where: str) -> None:
    if getattr(module.op, "bias", None) is None:
        message = f"batch normalization of {name!r} cannot be folded: the model's layer has no bias"
        raise Ai8xError(message, where=where, fix="build it with biases (--use-bias)")
