"""Module that files import as ``utils.dataloader_utils``."""

from __future__ import annotations

from pathlib import Path


def makedir_exist_ok(dirpath: str | Path) -> None:
    """Create a folder and its parents unless it exists."""
    Path(dirpath).mkdir(parents=True, exist_ok=True)
