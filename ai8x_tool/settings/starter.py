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
    """Options of ``ai8x new``. What is not given is chosen from the contents of the folder."""

    panel: ClassVar[str] = "Project"

    data: Path = required(
        "Folder of images, sounds or tables with one folder for each class, or of images with masks or boxes.",
        "--data",
        metavar="FOLDER",
    )
    device: str = device_option()
    kind: Literal["images", "sound", "series"] | None = option(None, "Kind of the files.", default="that of most files")
    task: Literal["classification", "segmentation", "detection", "regression", "anomaly"] | None = option(
        None, "Kind of problem.", default=TASK_BY_FILES
    )
    target: tuple[str, ...] = option(
        (), "Columns of tables with the class or, for regression, the numbers to predict.", metavar="NAMES"
    )
    group: str | None = option(
        None,
        "Regular expression; files whose paths share the same match, or the same first group, stay in one split, for "
        "example those of the same speaker or machine.",
        metavar="PATTERN",
    )

    @property
    def part(self) -> Device:
        """The device."""
        return find_device(self.device)
