"""Options of ``ai8x new``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ai8x_tool.device import Device, find_device
from ai8x_tool.settings.model import device_option
from ai8x_tool.settings.option import Settings, option, required


@dataclass(frozen=True, kw_only=True)
class NewSettings(Settings):
    """Options of ``ai8x new``. What is not given is chosen by what the folder contains."""

    panel: ClassVar[str] = "Project"

    data: Path = required(
        "Folder of images, sounds or tables, with a folder for each class.", "--data", metavar="FOLDER"
    )
    device: str = device_option()
    kind: Literal["images", "sound", "series"] | None = option(
        None, "What the files are.", default="what most of them are"
    )
    task: Literal["classification", "regression", "anomaly"] | None = option(
        None, "What is learned.", default="classification; with one class only, anomalies"
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
