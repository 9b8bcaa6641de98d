"""Trained weights by name: a card (YAML) in ``models/checkpoints`` says what a checkpoint is, and where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import expand

FOLDER = "models/checkpoints"
KEYS = ("file", "sha256", "url", "model", "dataset", "recipe", "devices", "accuracy", "note", "made_by")
"""What a card may say; the first two it must."""


@dataclass(frozen=True)
class WeightCard:
    """A card: what it says, and the file of the checkpoint, which need not be there."""

    name: str
    path: Path
    content: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The checkpoint, next to the card or in the user's own folder of that name."""
        own = Path.cwd() / FOLDER / str(self.content["file"])
        return own if own.is_file() else self.path.with_name(str(self.content["file"]))

    @property
    def text(self) -> str:
        """One line: model, data, accuracy, and whether the file must be downloaded."""
        shown = [str(self.content[key]) for key in ("model", "dataset", "note", "accuracy") if self.content.get(key)]
        return ", ".join([*shown, *([] if self.file.is_file() else ["not here: " + str(self.content.get("url"))])])

    def checked(self) -> Path:
        """Return the checkpoint. Raises Ai8xError if it is not here, or not the one that the card describes."""
        url, place = self.content.get("url"), Path(FOLDER) / str(self.content["file"])
        if not self.file.is_file():
            fix = f"get {url} and put it there" if url else "train it: see the card"
            raise Ai8xError(f"the weights {self.name!r} are not here", where=str(place), fix=fix)
        if hashlib.sha256(self.file.read_bytes()).hexdigest() != self.content["sha256"]:
            fix = f"get it again from {url}" if url else "restore the original"
            raise Ai8xError("its checksum is not that of its card", where=str(self.file), fix=fix)
        return self.file


def read_card(path: Path) -> WeightCard:
    """Return a card. Raises Ai8xError if it is none."""
    from ai8x_tool.readers.yaml_file import read_plain  # noqa: PLC0415  (slow to load, and a file needs none of it)

    content = read_plain(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in KEYS[:2]):
        raise Ai8xError("is no card of weights: file and sha256 are texts", where=str(path))
    unknown = next((key for key in content if key not in KEYS), None)
    if unknown is not None or Path(str(content["file"])).name != content["file"]:
        what = f"unknown key {unknown!r}" if unknown is not None else "'file' is not the name of a file"
        raise Ai8xError(what, where=str(path), fix=f"keys are {', '.join(KEYS)}")
    return WeightCard(path.stem, path, content)


def list_cards() -> list[WeightCard]:
    """Return all cards; the user's own hide shipped ones."""
    found: dict[str, Path] = {}
    for folder in resources.search_path(FOLDER):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return [read_card(path) for path in found.values()]


def checkpoint_path(name: Path) -> Path:
    """Return the checkpoint called `name`: a file, one in ``models/checkpoints``, or that of a card there.

    Raises Ai8xError if there is none.
    """
    given = expand(name)
    if given.is_file():
        return given
    found = resources.find_file(FOLDER, name, "checkpoint")
    return read_card(found).checked() if found.suffix == ".yaml" else found
