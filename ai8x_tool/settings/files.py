"""Settings files and recipes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import write_file
from ai8x_tool.settings.option import Option, Settings, options_of
from ai8x_tool.settings.values import typed

LOSSES = "losses"
"""Name of the option that a recipe may write as a mapping from outputs to the kinds of their losses."""
COMMON_KEYS = ("model", "dataset", "data", "device", "network", LOSSES)
OWN_DATA = "own_data"
"""Name of the option that the key `data` of a recipe sets where it describes a folder."""
FITTING_MODEL = "compact"
"""Stands for the shipped model that is made for the kind of the user's own data."""
SECTIONS = ("train", "quantize", "evaluate", "synthesize")
SETTINGS_FILE = "ai8x.yaml"
"""Name of the file in a generated project that holds its settings."""


@dataclass(frozen=True)
class Recipe:
    """A recipe file: what it is for, its common keys, and its sections by command."""

    name: str
    path: Path
    description: str
    common: Mapping[str, Any]
    sections: Mapping[str, Mapping[str, Any]]


def read_recipe(name: str) -> Recipe:
    """Read the recipe `name`, a file or a name in ``configs/recipes``; unknown keys are refused."""
    path = resources.find_config("recipes", name)
    content = _read_mapping(path)
    allowed = ["description", *COMMON_KEYS, *SECTIONS]
    for key in content:
        if key not in allowed:
            raise Ai8xError(f"unknown key {key!r}{nearest(str(key), allowed)}", where=str(path))
    sections = {key: content.get(key) or {} for key in SECTIONS}
    for key, section in sections.items():
        if not isinstance(section, dict):
            raise Ai8xError(f"{key!r} must be a mapping of options", where=str(path))
    common = {key: content[key] for key in COMMON_KEYS if key in content}
    return Recipe(path.stem, path, str(content.get("description", "")), common, sections)


def list_recipes() -> list[Recipe]:
    """Return all recipes; the user's own hide shipped ones."""
    return [read_recipe(str(path)) for path in resources.list_configs("recipes").values()]


def recipe_values(name: str, section: str, known: Mapping[str, Option]) -> dict[str, Any]:
    """Return what the recipe `name` says about the options of a command."""
    recipe = read_recipe(name)
    common = {key: value for key, value in recipe.common.items() if key in known}
    if isinstance(common.get("data"), dict):  # a folder of the user's own instead of that of all datasets
        own = common.pop("data")
        common |= {OWN_DATA: own} if OWN_DATA in known else {}
    if isinstance(common.get(LOSSES), dict):
        common[LOSSES] = ",".join(f"{name}={kind}" for name, kind in common[LOSSES].items())
    return typed({**common, **recipe.sections.get(section, {})}, known, f"{recipe.path} ({section})")


def file_values(path: Path, known: Mapping[str, Option]) -> dict[str, Any]:
    """Return the options in a settings file.

    Relative paths are relative to the file, or to the current folder where only that has such a file.
    """
    values = typed(_read_mapping(path), known, str(path))
    return {key: _located(value, known[key], path.parent) for key, value in values.items()}


def _located(value: Any, option: Option, folder: Path) -> Any:
    """Return a path that is relative to `folder` as one relative to the current folder; names stay names."""
    if isinstance(value, Settings):
        inner = options_of(type(value))
        return dataclasses.replace(value, **{key: _located(getattr(value, key), inner[key], folder) for key in inner})
    if value is None or option.value.several or not option.is_path or Path(value).is_absolute():
        return value
    path = folder / value
    if not path.exists() and (option.declaration.named_in is not None or Path(value).exists()):
        return value
    there = os.path.abspath(path)  # noqa: PTH100  (symbolic links are kept)
    return option.value.kind(os.path.relpath(there) if Path(there).is_relative_to(Path.cwd()) else there)


def _read_mapping(path: Path) -> dict[str, Any]:
    from ai8x_tool.readers.yaml_file import read_plain  # noqa: PLC0415  (slow to load, and help needs none of it)

    content = read_plain(path)
    if not isinstance(content, dict):
        raise Ai8xError("must be a mapping of options to values", where=str(path))
    return content


def save(settings: Settings, path: Path) -> None:
    """Write settings as YAML that ``--settings`` takes back, from any folder."""
    write_file(yaml_text(plain_values(settings, path.parent)).encode(), path)


def yaml_text(content: Mapping[str, Any]) -> str:
    """Return options as YAML, in their order."""
    import yaml  # noqa: PLC0415  (slow to load, and help needs none of it)

    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)


def plain_values(settings: Settings, folder: Path) -> dict[str, Any]:
    """Return the values for a settings file in `folder`: paths relative to it, shipped files by name."""
    return {
        name: _plain(getattr(settings, name), option, folder) for name, option in options_of(type(settings)).items()
    }


def _plain(value: Any, option: Option, folder: Path) -> Any:
    if isinstance(value, Settings):
        return {name: entry for name, entry in plain_values(value, folder).items() if entry not in (None, [])}
    if isinstance(value, tuple):
        return [str(entry) if isinstance(entry, Path) else entry for entry in value]
    if value is None or not option.is_path:
        return value
    return path_text(Path(value), folder, option.declaration.named_in)


def path_text(path: Path, folder: Path, named_in: str | None = None) -> str:
    """Return how a settings file in `folder` refers to `path`, a file or a name in the resources `named_in`.

    By name if it ships with the tool; as it is if it is absolute and has no folder in common with `folder`; otherwise
    relative to `folder`.
    """
    if named_in is not None:
        found = path if resources.is_file(path) else resources.locate(named_in, path)
        if found is None:
            return str(path)
        if found.resolve().parent == resources.shipped(named_in).resolve():
            return path.name
        path = found
    there, here = os.path.abspath(path), os.path.abspath(folder)  # noqa: PTH100  (symbolic links are kept)
    if path.is_absolute() and os.path.commonpath([there, here]) == os.sep:
        return str(path)
    return os.path.relpath(there, here)
