"""Reader of checkpoints (`.pth.tar` files) that neither imports torch nor executes code in them."""

from ai8x_tool.checkpoint.reader import (
    CLASS_NAMES,
    DATA_NOTE,
    PREPROCESSING,
    Checkpoint,
    ClassReference,
    read_checkpoint,
)
from ai8x_tool.checkpoint.repair import repair_checkpoint

__all__ = [
    "CLASS_NAMES",
    "DATA_NOTE",
    "PREPROCESSING",
    "Checkpoint",
    "ClassReference",
    "read_checkpoint",
    "repair_checkpoint",
]
