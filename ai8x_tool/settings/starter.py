"""Options of ``ai8x new``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ai8x_tool.device import Device, find_device
from ai8x_tool.settings.model import device_option
from ai8x_tool.settings.option import Settings, option, required
from ai8x_tool.settings.own_data import TASK_BY_FILES


@dataclass(frozen=True, kw_only=True)
class NewSettings(Settings):
    """Options of ``ai8x new``. What is not given is chosen by what the folder contains."""

    panel: ClassVar[str] = "Project"

    data: Path = required(
        "Folder of images, sounds or tables, with a folder for each class, or of images with masks or boxes.",
        "--data",
        metavar="FOLDER",
    )
    device: str = device_option()
    kind: Literal["images", "sound", "series"] | None = option(
        None, "What the files are.", default="what most of them are"
    )
    task: Literal["classification", "segmentation", "detection", "regression", "anomaly"] | None = option(
        None, "What is learned.", default=TASK_BY_FILES
    )
    target: tuple[str, ...] = option(
        (), "Columns of tables that hold the class or, for regression, the numbers to predict.", metavar="NAMES"
    )
    group: str | None = option(
        None,
        "Regular expression; files whose paths have the same match, or first group, stay in one split: the same "
        "speaker, the same machine.",
        metavar="PATTERN",
    )

    @property
    def part(self) -> Device:
        """The device."""
        return find_device(self.device)
