"""Checkpoints in the order of a network's layers, with the weights of layers that the model does not contain."""

from __future__ import annotations

import io
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.quantization.files import other_content


def added_layers(checkpoint: Checkpoint, network: Network) -> list[Layer]:
    """Return the layers with known parameters that the checkpoint does not contain."""
    return [layer for layer in _own(network) if layer.parameters and layer.parameters.key not in checkpoint.state]


def for_network(checkpoint: Checkpoint, network: Network) -> bytes | None:
    """Return the bytes of a quantized checkpoint file with its weights in the order of the layers of `network`.

    Descriptions assign weights to layers in this order. Weights that no layer uses come last; missing weights of 1×1
    convolutions are added. Returns None if the checkpoint has this form already.
    """
    wanted = [layer.parameters.key for layer in _own(network) if layer.parameters]
    weights = [key for key, value in checkpoint.state.items() if _is_weight(key) and value.ndim > 1]
    if weights[: len(wanted)] == wanted:
        return None
    state = OrderedDict((key, torch.from_numpy(np.array(value))) for key, value in checkpoint.state.items())
    for layer in added_layers(checkpoint, network):
        state |= _entries(layer)
    others = [key for key in state if _is_weight(key) and key not in wanted]
    ordered = OrderedDict((key, state[key]) for key in (*wanted, *others))
    buffer = io.BytesIO()
    torch.save({**other_content(checkpoint), "state_dict": ordered | state}, buffer)
    return buffer.getvalue()


def _own(network: Network) -> list[Layer]:
    """Return the layers with their own weights."""
    return [layer for layer in network.layers if layer.has_weights and layer.shares is None]


def _is_weight(key: str) -> bool:
    return key == "weight" or key.endswith(".weight")


def _entries(layer: Layer) -> dict[str, Tensor]:
    """Return the state-dict entries of one layer."""
    assert layer.parameters is not None
    weights = torch.from_numpy(layer.parameters.weights.astype(np.float32))
    numbers = {"output_shift": layer.parameters.shift, "weight_bits": layer.parameters.bits, "bias_bits": 8}
    numbers |= {"quantize_activation": 1, "adjust_output_shift": 0, "shift_quantile": 1}
    entries = {f"{layer.name}.{key}": torch.tensor([float(value)]) for key, value in numbers.items()}
    weights = weights.squeeze(3) if layer.operator == "conv1d" else weights
    return {**entries, layer.parameters.key: weights}
