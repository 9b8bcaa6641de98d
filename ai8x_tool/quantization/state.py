"""Checks of a checkpoint's state dict, with warnings and notes."""

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
    """Return the keys of all weights, in the order of the state dict."""
    return [key for key in state if key.endswith(".weight")]


def report_defaults(
    state: Mapping[str, Tensor], keys: list[str], console: Console, where: str, *, trained: bool
) -> None:
    """Report missing values for which quantization according to training results uses defaults."""
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
    """Warn if activation ranges have not been measured yet: activations then saturate at ±1."""
    quantized = any(value.any() for key, value in checkpoint.state.items() if key.endswith(".weight_bits"))
    if checkpoint.measured_ranges and not quantized:
        text = "activation ranges have not been measured, so activations beyond ±1 saturate; --calibrate measures them"
        console.warn(f"{checkpoint.path}: {text}")


def report_values(key: str, bits: int, state: Mapping[str, Tensor], console: Console) -> None:
    """Report the statistics on which the clip methods are based."""
    for name in (key, key.removesuffix("weight") + "bias"):
        if name in state:
            values = state[name].float()
            measures = f"avgmax {average_maximum(values):.4f}, max {float(values.abs().max()):.4f}"
            console.detail(f"{name}: {measures}, mean {float(values.mean()):.4f}, {bits} bits")


def warn_about_shared_scales(keys: list[str], console: Console, where: str) -> None:
    """Warn about layers with several weight tensors: shift and width are stored once per layer."""
    counts = Counter(layer_of(key) for key in keys)
    for layer, count in counts.items():
        if count > 1:
            text = f"{count} weight tensors of {layer!r} share the output shift of the last one, wrong for the others"
            console.warn(f"{where}: {text}")


def check_state(state: Mapping[str, Tensor], where: str) -> None:
    """Check that the state dict can be quantized. Raises Ai8xError naming the key."""
    for key, value in state.items():
        name = key.rpartition(".")[2]
        if key.endswith(".bn.weight") or key.endswith(".bn.running_mean"):
            message = f"{key!r}: batch normalization cannot be folded without its statistics, which the file lacks"
            raise Ai8xError(message, where=where, fix="save the complete model again")
        if name in ("w_zero_point", "b_zero_point") and bool(value.any()):
            raise Ai8xError(f"{key!r}: zero points must be 0", where=where)
        if value.numel() == 0:
            raise Ai8xError(f"{key!r} must not be empty", where=where)
        if name in BOOKKEEPING and value.numel() != 1:
            raise Ai8xError(f"{key!r} must hold one number, not {value.flatten().tolist()[:4]}", where=where)
        if name == "shift_quantile" and not 0 < float(value.flatten()[0]) <= 1:
            raise Ai8xError(f"{key!r} must be above 0 and at most 1", where=where)
        if not bool(torch.isfinite(value.float()).all()):
            raise Ai8xError(f"{key!r} must not hold infinite or undefined values", where=where)
        if name in _RANGES and (value.numel() != 1 or not float(value).is_integer()):
            raise Ai8xError(f"{key!r} must be one whole number, not {value.flatten().tolist()[:4]}", where=where)


def check_no_ranges(state: Mapping[str, Tensor], where: str) -> None:
    """Check that there are no activation ranges. Raises Ai8xError naming the key."""
    for key, value in state.items():
        if key.rpartition(".")[2] in _RANGES and bool(value.any()):
            shown = ", ".join(f"{number:g}" for number in value.flatten().tolist()[:4])
            message = f"{key!r} = {shown}: activation ranges require the QAT information that clip methods ignore"
            raise Ai8xError(message, where=where, fix="leave out --clip-method")


def layer_of(key: str) -> str:
    """Return ``<layer>`` of ``<layer>.<operation>.weight`` or ``<layer>.weight``."""
    owner = key.rpartition(".")[0]
    return owner.rpartition(".")[0] or owner


def stored_number(state: Mapping[str, Tensor], key: str, default: float) -> float:
    """Return the number stored under `key`, or `default` if there is none."""
    value = state.get(key)
    return default if value is None else float(value.flatten()[0])
