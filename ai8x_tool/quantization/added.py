"""Insertion of known weights into checkpoints, for layers that the model does not contain."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.network.layer import Layer
from ai8x_tool.quantization.files import other_content


def with_layers(checkpoint: Checkpoint, layers: Sequence[Layer]) -> bytes:
    """Return the bytes of a quantized checkpoint file with added entries for `layers`, 1×1 convolutions."""
    state = OrderedDict((key, torch.from_numpy(np.array(value))) for key, value in checkpoint.state.items())
    for layer in layers:
        state |= _entries(layer)
    buffer = io.BytesIO()
    torch.save({**other_content(checkpoint), "state_dict": state}, buffer)
    return buffer.getvalue()


def _entries(layer: Layer) -> dict[str, Tensor]:
    """Return the state-dict entries of one layer."""
    assert layer.parameters is not None
    weights = torch.from_numpy(layer.parameters.weights.astype(np.float32))
    numbers = {"output_shift": layer.parameters.shift, "weight_bits": layer.parameters.bits, "bias_bits": 8}
    numbers |= {"quantize_activation": 1, "adjust_output_shift": 0, "shift_quantile": 1}
    entries = {f"{layer.name}.{key}": torch.tensor([float(value)]) for key, value in numbers.items()}
    weights = weights.squeeze(3) if layer.operator == "conv1d" else weights
    return {**entries, layer.parameters.key: weights}
