"""Helper modules of the reference trainer that model and dataset files import from ``utils``.

They have these names while such a file runs, unless the user has a module of the same name.
"""

from __future__ import annotations

PACKAGE = "utils"
MODULES = {
    "utils.augmentation_utils": "ai8x_tool.compat.trainer.augmentation",
    "utils.dataloader_utils": "ai8x_tool.compat.trainer.dataloader",
    "utils.model_wrapper": "ai8x_tool.compat.trainer.model_wrapper",
    "utils.object_detection_utils": "ai8x_tool.compat.trainer.object_detection",
}
"""Module for each name."""
