"""Helper modules of the reference trainer that model and dataset files import from ``utils``.

They are found under these names while such a file runs, unless there is a module of that name already: the user's own.
"""

from __future__ import annotations

PACKAGE = "utils"
MODULES = {
    "utils.augmentation_utils": "ai8x_tool.compat.trainer.augmentation",
    "utils.dataloader_utils": "ai8x_tool.compat.trainer.dataloader",
    "utils.model_wrapper": "ai8x_tool.compat.trainer.model_wrapper",
    "utils.object_detection_utils": "ai8x_tool.compat.trainer.object_detection",
}
"""The module behind each name."""
