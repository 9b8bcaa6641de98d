"""Identification of a subject by its name or file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import expand
from ai8x_tool.plugins.find import list_models
from ai8x_tool.readers.yaml_file import read_plain

RECIPE, DESCRIPTION, MODEL = "recipe", "description", "model"
_FOLDERS = {RECIPE: "recipes", DESCRIPTION: "networks"}


@dataclass(frozen=True)
class Subject:
    """A subject: its kind, its name, and the file that defines it.

    A model's name is None if the file defines it.
    """

    kind: str
    name: str | None
    file: Path


def find_subject(given: str | Path) -> Subject:
    """Return the subject `given`: a file, or the name of a recipe, a network description or a model, in this order.

    Raises Ai8xError, which names the closest match, if it is none of these.
    """
    path, name = expand(given), str(given)
    if path.is_file():
        return _file(path)
    found = {kind: resources.list_configs(folder) for kind, folder in _FOLDERS.items()}
    for kind, known in found.items():
        if name in known:
            return Subject(kind, name, known[name])
    models = {listing.name: listing.file for listing in list_models()}
    match = next((known for known in models if known.lower() == name.lower()), None)
    if match is not None:
        return Subject(MODEL, match, models[match])
    every = [*(known for names in found.values() for known in names), *models]
    message = f"no file, and no recipe, network description or model named {name!r}{nearest(name, every)}"
    raise Ai8xError(message, fix="ai8x list recipes, networks or models")


def _file(path: Path) -> Subject:
    if path.suffix == ".py":
        return Subject(MODEL, None, path)
    content = read_plain(path)
    is_description = isinstance(content, dict) and "layers" in content
    return Subject(DESCRIPTION if is_description else RECIPE, path.stem, path)


def recipe_of(given: str | Path) -> str | None:
    """Return the recipe `given`, None if it is another subject. Raises Ai8xError if it is none."""
    subject = find_subject(given)
    return str(subject.file) if subject.kind == RECIPE else None


def options_of_name(given: str | Path) -> dict[str, Any] | None:
    """Return the options of ``ai8x synthesize`` for the model or description `given`, None for a recipe."""
    subject = find_subject(given)
    if subject.kind == MODEL:
        return {"model": subject.name or subject.file.stem}
    return {"network": str(subject.file)} if subject.kind == DESCRIPTION else None
