"""Checkpoints (`.pth.tar` files), read without importing torch and without executing anything in them."""

from ai8x_tool.checkpoint.reader import Checkpoint, ClassReference, read_checkpoint
from ai8x_tool.checkpoint.repair import repair_checkpoint

__all__ = ["Checkpoint", "ClassReference", "read_checkpoint", "repair_checkpoint"]
