"""Diagnosis of infinite and undefined losses: batch, layer and likely cause."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ai8x_tool.errors import Ai8xError

_RATE = "lower the learning rate (--lr)"


def checked_loss(
    loss: Tensor, model: nn.Module, inputs: Tensor, targets: Any, outputs: Any, *, learns: bool = True
) -> float:
    """Return the loss of a batch as a float.

    Raises Ai8xError, with the likely cause, if it is infinite or undefined, or if no parameter affects it and `learns`.
    """
    value = float(loss.item())
    if not math.isfinite(value):
        raise _unusable_loss(value, model, inputs, targets, outputs)
    if learns and not loss.requires_grad:
        fix = "compute the outputs of the model with trainable parameters"
        raise Ai8xError("the loss must depend on at least one trainable parameter of the model", fix=fix)
    return value


def _unusable_loss(loss: float, model: nn.Module, inputs: Tensor, targets: Any, outputs: Any) -> Ai8xError:
    """Return the error for a batch whose `loss` is infinite or undefined, with the likely cause.

    The model is executed once more to find the first layer whose outputs are not finite.
    """
    message = f"the loss is {loss:g}"
    if not _finite(inputs):
        return Ai8xError(f"{message}: inputs are infinite or undefined", fix="correct the data")
    if not _finite(targets):
        return Ai8xError(f"{message}: targets are infinite or undefined", fix="correct the data")
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if not _finite(value):
            return Ai8xError(f"{message}: {name} of the model is infinite or undefined", fix=_RATE)
    layer = _first_infinite_layer(model, inputs)
    if layer is not None:
        fix = f"{_RATE}, or correct the computation in that layer"
        return Ai8xError(f"{message}: the outputs of {layer} are infinite or undefined", fix=fix)
    if not _finite(outputs):
        reason = "the outputs of the model are infinite or undefined, although those of its layers are finite"
        return Ai8xError(f"{message}: {reason}", fix="correct its forward()")
    return Ai8xError(f"{message}, but inputs, targets and outputs are finite", fix=f"{_RATE}, or check the targets")


def _finite(value: Any) -> bool:
    tensors = [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor)]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


@torch.no_grad()
def _first_infinite_layer(model: nn.Module, inputs: Tensor) -> str | None:
    """Return the name of the first module whose inputs are finite and whose outputs are not."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, given: Any, result: Any) -> None:
            if not _finite(result) and _finite(given):
                found.append(name)

        return hook

    with ExitStack() as hooks:
        for name, module in _leaves(model):
            hooks.callback(module.register_forward_hook(watch(name)).remove)
        model(inputs)
    return found[0] if found else None


def _leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers: modules that have own parameters or no submodules."""
    for name, module in model.named_modules():
        if name and (not list(module.children()) or hasattr(module, "op")):
            yield name, module
