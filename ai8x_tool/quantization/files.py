"""Contents of checkpoint files in addition to weights, and output of the files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ai8x_tool.checkpoint import Checkpoint, ClassReference
from ai8x_tool.files import write_file

_OF_TRAINING = ("optimizer_state_dict", "optimizer_type")


def other_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the contents of `checkpoint` that a quantized file retains, without the state dict."""
    dropped = ("state_dict", *_OF_TRAINING)
    return {key: _to_torch(value) for key, value in checkpoint.content.items() if key not in dropped}


def _to_torch(value: Any) -> Any:
    """Return arrays as tensors and references to classes as their names, in nested containers."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if isinstance(value, ClassReference):
        return f"{value.module}.{value.name}"
    if isinstance(value, dict):
        return {key: _to_torch(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_torch(entry) for entry in value)
    return value


def save_checkpoint(content: dict[str, Any], target: Path) -> None:
    """Write a checkpoint file atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_file(buffer.getbuffer(), target)
