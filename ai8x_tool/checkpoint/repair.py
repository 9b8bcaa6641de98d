"""Normalization of checkpoints from all tool versions: names, pruning masks, leftovers of batch normalization.

Each repair is reported once. docs/post-training-quantization.md lists them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ai8x_tool.checkpoint.reader import Checkpoint
from ai8x_tool.checkpoint.unpickler import Array
from ai8x_tool.console import Console
from ai8x_tool.text import counted

State = dict[str, Array]

BOOKKEEPING = (
    "output_shift",
    "weight_bits",
    "bias_bits",
    "quantize_activation",
    "adjust_output_shift",
    "shift_quantile",
)
"""Single-element tensors of a layer, in their usual order."""
_COMPILER, _PARALLEL = "_orig_mod", "module"
_OLD_OPERATORS = ("conv2d", "conv1d")


def repair_checkpoint(
    checkpoint: Checkpoint, console: Console, *, known: Collection[str] = (), names: bool = True
) -> Checkpoint:
    """Return the checkpoint as current tools would have written it, and report each change in one line.

    `known` are names of the model, which are kept. Without `names`, names that other tools read are kept as well (the
    prefix ``module.`` and old operators), and so are counters. No missing tensors are added: see
    :func:`missing_bookkeeping`.
    """
    said: list[str] = []
    state = _without_wrappers(checkpoint.state, known, names, said)
    state = _with_present_operators(state, known, names, said)
    state = _with_complete_norms(state, said) if names else state
    state = _masked(state, _masks(checkpoint), said)
    for text in said:
        console.info(f"{checkpoint.path}: {text}", once=True)
    return replace(checkpoint, state=state) if said else checkpoint


def missing_bookkeeping(state: Mapping[str, Any], layers: Iterable[str]) -> dict[str, int]:
    """Return the single-element tensors that `layers` lack, with the number of layers that lack each."""
    names = list(layers)
    counts = {parameter: sum(f"{layer}.{parameter}" not in state for layer in names) for parameter in BOOKKEEPING}
    return {parameter: count for parameter, count in counts.items() if count}


def _without_wrappers(state: State, known: Collection[str], parallel: bool, said: list[str]) -> State:
    """Remove all ``_orig_mod`` and leading ``module``; of two tensors with the same name, keep the later one."""
    result: State = {}
    renamed = dict.fromkeys((_PARALLEL, _COMPILER), 0)
    doubled = 0
    for key, value in state.items():
        parts = key.split(".")
        if key not in known and _COMPILER in parts[:-1]:
            parts = [*(part for part in parts[:-1] if part != _COMPILER), parts[-1]]
            renamed[_COMPILER] += 1
        if parallel and key not in known and parts[0] == _PARALLEL and len(parts) > 1:
            parts = parts[1:]
            renamed[_PARALLEL] += 1
        name = ".".join(parts)
        doubled += name in result
        result[name] = value
    for prefix, count in renamed.items():
        if count:
            said.append(f"prefix {prefix!r} removed from {counted(count, 'name')}")
    if doubled:
        said.append(f"{counted(doubled, 'tensor')} stored twice, with and without a prefix: the later ones are used")
    return result


def _with_present_operators(state: State, known: Collection[str], every: bool, said: list[str]) -> State:
    """Rename the operators ``conv2d`` and ``conv1d`` of the oldest files to ``op``.

    Without `every`, this applies only to operators into which batch normalization is to be folded.
    """
    names = {}
    for key in state:
        layer, _, rest = key.rpartition(".")
        owner, _, operator = layer.rpartition(".")
        signs = ("weight_bits", "output_shift", "bn.running_mean") if every else ("bn.running_mean",)
        ours = any(f"{owner}.{sign}" in state for sign in signs)
        new = f"{owner}.op.{rest}"
        if operator in _OLD_OPERATORS and ours and key not in known and new not in state:
            names[key] = new
    if names:
        said.append(f"{counted(len(names), 'operator tensor')} of old files renamed to 'op'")
    return {names.get(key, key): value for key, value in state.items()}


def _with_complete_norms(state: State, said: list[str]) -> State:
    """Add batch counters that the oldest files lack, and remove those that folding by other tools left."""
    result: State = {}
    added = dropped = 0
    for key, value in state.items():
        owner, _, parameter = key.rpartition(".")
        norm = owner.rpartition(".")[2] == "bn"
        if norm and parameter == "num_batches_tracked" and not _has_norm(state, owner):
            dropped += 1
            continue
        result[key] = value
        counter = f"{owner}.num_batches_tracked"
        if norm and parameter == "running_var" and counter not in state:
            result[counter] = np.zeros((), np.int64)
            added += 1
    if dropped:
        said.append(f"{counted(dropped, 'counter')} of already folded batch normalization removed")
    if added:
        said.append(f"{counted(added, 'counter')} of batch normalization added")
    return result


def _has_norm(state: State, owner: str) -> bool:
    return any(f"{owner}.{name}" in state for name in ("running_mean", "running_var", "weight", "bias"))


def _masks(checkpoint: Checkpoint) -> dict[str, Array]:
    """Return the pruning masks of a compression schedule by name of the weights; in most files, all are None."""
    schedule = checkpoint.content.get("compression_sched")
    masks = schedule.get("masks_dict") if isinstance(schedule, dict) else None
    entries = masks.items() if isinstance(masks, dict) else ()
    return {str(key): mask for key, mask in entries if isinstance(mask, np.ndarray) and str(key).endswith(".weight")}


def _masked(state: State, masks: Mapping[str, Array], said: list[str]) -> State:
    """Apply pruning masks to the weights, as training does after every step unless it is interrupted."""
    result = dict(state)
    applied = unused = 0
    for key, mask in masks.items():
        name = key if key in state else key.removeprefix(f"{_PARALLEL}.")
        weights = state.get(name)
        if weights is None or weights.shape != mask.shape or not np.isin(mask, (0, 1)).all():
            unused += 1
        elif (weights[mask == 0] != 0).any():
            result[name] = np.where(mask == 0, np.zeros((), weights.dtype), weights)
            applied += 1
    if applied:
        said.append(f"{counted(applied, 'pruning mask')} of the compression schedule applied")
    if unused:
        said.append(f"{counted(unused, 'pruning mask')} of the compression schedule that fit no weights ignored")
    return result
