"""Image files in one folder per class, the layout of several datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ai8x_tool.errors import Ai8xError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder, sorted by name."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def classified_files(folder: Path, classes: Sequence[str], *, fix: str) -> list[tuple[Path, int]]:
    """Return the images in ``folder/class`` with class numbers. Raises Ai8xError naming a class without images."""
    found = []
    for number, name in enumerate(classes):
        files = image_files(folder / name)
        if not files:
            raise Ai8xError("no images", where=str(folder / name), fix=fix)
        found += [(file, number) for file in files]
    return found


def class_folders(folder: Path, count: int, *, fix: str) -> list[str]:
    """Return the sorted names of the folders of `count` classes. Raises Ai8xError for another number of folders."""
    names = sorted(path.name for path in folder.glob("*") if path.is_dir())
    if len(names) != count:
        found = f"there must be {count} folders of classes, not {len(names)}" if names else "no folders of classes"
        raise Ai8xError(found, where=str(folder), fix=fix)
    return names
