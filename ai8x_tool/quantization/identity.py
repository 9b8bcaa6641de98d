"""Insertion of an identity layer into a checkpoint, for networks whose description contains a passthrough layer.

A passthrough layer only moves data. As a 1×1 convolution it can use other processors, offsets and output channels.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ai8x_tool.checkpoint import Checkpoint, read_checkpoint
from ai8x_tool.device import DEVICES
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import resolved_path
from ai8x_tool.quantization.files import other_content, save_checkpoint

_MOST_CHANNELS = max(device.channels for device in DEVICES)
_PARALLEL = "module"


@dataclass(frozen=True)
class IdentityLayer:
    """A 1×1 convolution of `channels` that computes y = x, before the layer `before`.

    With `low_memory` its weights have 2 bits instead of 8.
    """

    name: str
    channels: int
    before: str
    low_memory: bool = False

    def __post_init__(self) -> None:
        if not all(self.name.split(".")) or not self.name.isprintable():
            raise Ai8xError(f"{self.name!r} is not a valid layer name")
        if not 1 <= self.channels <= _MOST_CHANNELS:
            rule = f"must have 1 to {_MOST_CHANNELS} channels, not {self.channels}"
            raise Ai8xError(f"the identity layer {self.name!r} {rule}")

    def tensors(self) -> OrderedDict[str, Tensor]:
        """Return the state-dict entries of the layer; the output shift compensates for weights below one."""
        bits, weight = (2, 1) if self.low_memory else (8, 64)
        values = {"output_shift": 1, "weight_bits": bits, "bias_bits": 8, "quantize_activation": 1}
        values |= {"adjust_output_shift": 0, "shift_quantile": 1}
        result = OrderedDict((f"{self.name}.{key}", torch.tensor([float(value)])) for key, value in values.items())
        result[f"{self.name}.op.weight"] = weight * torch.eye(self.channels).view(self.channels, self.channels, 1, 1)
        return result


def insert_identity(source: Path, target: Path, layer: IdentityLayer) -> None:
    """Write the quantized checkpoint `source` with `layer` to `target`, without ``module.`` prefixes.

    Raises Ai8xError, and writes nothing, if the checkpoint is not quantized, already contains a layer of that name with
    weights, or does not contain the layer `before`.
    """
    checkpoint = read_checkpoint(source)
    if target.exists() and resolved_path(target) == resolved_path(source):
        raise Ai8xError("the output file must not be the input file", where=str(target), fix="choose another name")
    content = other_content(checkpoint)
    save_checkpoint({**content, "state_dict": state_with_identity(checkpoint, layer)}, target)


def state_with_identity(checkpoint: Checkpoint, layer: IdentityLayer) -> OrderedDict[str, Tensor]:
    """Return the state dict with the entries of `layer` inserted before those of the layer that follows it."""
    where = str(checkpoint.path)
    if not checkpoint.is_quantized:
        raise Ai8xError(
            "an identity layer can be inserted into quantized checkpoints only",
            where=where,
            fix="run `ai8x quantize` on it first",
        )
    state = {_without_module(key): torch.from_numpy(value) for key, value in checkpoint.state.items()}
    own = [key for key in state if _belongs(key, layer.name)]
    if any(key.endswith((".weight", ".bias")) for key in own):
        raise Ai8xError(
            f"the checkpoint already contains a layer {layer.name!r}", where=where, fix="choose another name"
        )
    for key in own:  # a pooling or element-wise module of this name, which has bookkeeping entries only
        del state[key]
    place = next((number for number, key in enumerate(state) if _belongs(key, layer.before)), None)
    if place is None:
        names = [key.rpartition(".")[0] for key in state if key.endswith(".output_shift")]
        raise Ai8xError(
            f"the checkpoint does not contain the layer {layer.before!r}{nearest(layer.before, names)}", where=where
        )
    entries = list(state.items())
    return OrderedDict([*entries[:place], *layer.tensors().items(), *entries[place:]])


def _without_module(key: str) -> str:
    return ".".join(part for part in key.split(".") if part != _PARALLEL)


def _belongs(key: str, layer: str) -> bool:
    return key.startswith(f"{layer}.")
