"""Recomputation of batch-normalization statistics before they are folded into the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def refresh_batchnorm(model: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Replace the running statistics, which lag in short runs, by averages over the batches `inputs`."""
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average over all batches
    was_training = model.training
    model.train()
    for batch in inputs:
        model(batch)
    model.train(was_training)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
