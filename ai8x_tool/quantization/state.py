"""Checks of a checkpoint's state dict, and remarks about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.checkpoint.repair import BOOKKEEPING, missing_bookkeeping
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.quantization.rules import average_maximum
from ai8x_tool.text import counted

_RANGES = ("activation_threshold", "final_scale")


def weight_keys(state: Mapping[str, Tensor]) -> list[str]:
    """Return the keys of all weights, in order."""
    return [key for key in state if key.endswith(".weight")]


def report_defaults(
    state: Mapping[str, Tensor], keys: list[str], console: Console, where: str, *, trained: bool
) -> None:
    """Report values that the checkpoint lacks and that quantization by the results of training needs."""
    layers = [layer_of(key) for key in keys]
    if not trained or not layers:
        return
    missing = missing_bookkeeping(state, layers).get("shift_quantile", 0)
    if missing:
        console.info(f"{where}: {counted(missing, 'layer')} without shift_quantile: 1 is used", once=True)
    if not any(stored_number(state, f"{layer}.weight_bits", 0) for layer in layers):
        text = "no layer was trained with quantization; --calibrate chooses better integers for such a checkpoint"
        console.info(f"{where}: {text}", once=True)


def warn_about_unmeasured_ranges(checkpoint: Checkpoint, console: Console) -> None:
    """Warn if the ranges of activations have not been measured yet: they saturate at ±1."""
    quantized = any(value.any() for key, value in checkpoint.state.items() if key.endswith(".weight_bits"))
    if checkpoint.measured_ranges and not quantized:
        text = "activation ranges were not measured yet, so activations beyond ±1 saturate; --calibrate measures them"
        console.warn(f"{checkpoint.path}: {text}")


def report_values(key: str, bits: int, state: Mapping[str, Tensor], console: Console) -> None:
    """Report the measures on which the clip methods are based."""
    for name in (key, key.removesuffix("weight") + "bias"):
        if name in state:
            values = state[name].float()
            measures = f"avgmax {average_maximum(values):.4f}, max {float(values.abs().max()):.4f}"
            console.detail(f"{name}: {measures}, mean {float(values.mean()):.4f}, {bits} bits")


def warn_about_shared_scales(keys: list[str], console: Console, where: str) -> None:
    """Warn about layers with several weights: shift and width are stored once for each layer."""
    counts = Counter(layer_of(key) for key in keys)
    for layer, count in counts.items():
        if count > 1:
            text = f"{count} weights of {layer!r} share one output shift, that of the last: it is wrong for the others"
            console.warn(f"{where}: {text}")


def check_state(state: Mapping[str, Tensor], where: str) -> None:
    """Refuse what cannot be quantized. Raises Ai8xError naming the key."""
    for key, value in state.items():
        name = key.rpartition(".")[2]
        if key.endswith(".bn.weight") or key.endswith(".bn.running_mean"):
            message = f"{key!r}: batch normalization cannot be folded, because its statistics are not in the file"
            raise Ai8xError(message, where=where, fix="save the whole model again")
        if name in ("w_zero_point", "b_zero_point") and bool(value.any()):
            raise Ai8xError(f"{key!r}: zero points other than 0 are not supported", where=where)
        if value.numel() == 0:
            raise Ai8xError(f"{key!r} is empty", where=where)
        if name in BOOKKEEPING and value.numel() != 1:
            raise Ai8xError(f"{key!r} must hold one number, not {value.flatten().tolist()[:4]}", where=where)
        if name == "shift_quantile" and not 0 < float(value.flatten()[0]) <= 1:
            raise Ai8xError(f"{key!r} must be above 0 and at most 1", where=where)
        if not bool(torch.isfinite(value.float()).all()):
            raise Ai8xError(f"{key!r} holds infinite or undefined values", where=where)
        if name in _RANGES and (value.numel() != 1 or not float(value).is_integer()):
            raise Ai8xError(f"{key!r} must be one whole number, not {value.flatten().tolist()[:4]}", where=where)


def check_no_ranges(state: Mapping[str, Tensor], where: str) -> None:
    """Refuse activation ranges. Raises Ai8xError naming the key."""
    for key, value in state.items():
        if key.rpartition(".")[2] in _RANGES and bool(value.any()):
            shown = ", ".join(f"{number:g}" for number in value.flatten().tolist()[:4])
            message = f"{key!r} = {shown}: activation ranges belong to QAT, which this method ignores"
            raise Ai8xError(message, where=where, fix="leave out --clip-method")


def layer_of(key: str) -> str:
    """Return ``<layer>`` of ``<layer>.<operation>.weight`` or ``<layer>.weight``."""
    owner = key.rpartition(".")[0]
    return owner.rpartition(".")[0] or owner


def stored_number(state: Mapping[str, Tensor], key: str, default: float) -> float:
    """Return the number under `key`, `default` if there is none."""
    value = state.get(key)
    return default if value is None else float(value.flatten()[0])
