"""Where the values of options come from: built-in default < recipe < settings file < what was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import resolved_path
from ai8x_tool.settings.files import FITTING_MODEL, OWN_DATA, file_values, recipe_values
from ai8x_tool.settings.model import SYNTHETIC
from ai8x_tool.settings.option import Settings, options_of
from ai8x_tool.settings.own_data import OwnDataSettings
from ai8x_tool.settings.values import typed

S = TypeVar("S", bound=Settings)
_RECIPE = "evaluation_recipe"


def resolve(
    cls: type[S],
    command: str,
    recipe: str | None = None,
    settings_file: Path | None = None,
    given: Mapping[str, Any] | None = None,
) -> S:
    """Return the settings of `command`: built-in default < recipe < settings file < `given`.

    `recipe` is a file or a name in ``configs/recipes``, of which the section `command` is read. Raises Ai8xError for
    unknown options (with the closest known one and the file), values of another type, and options that are missing.
    """
    known = options_of(cls)
    values: dict[str, Any] = {}
    if recipe is not None:
        values |= recipe_values(recipe, command, known)
        if _RECIPE in known:
            values.setdefault(_RECIPE, recipe)
    if settings_file is not None:
        values |= file_values(settings_file, known)
    values |= typed(given or {}, known, None)
    if OWN_DATA in known:
        _choose_data(values, given or {})
        if not known["model"].required and values.get("model") == FITTING_MODEL:
            del values["model"]  # the checkpoint names it
    for name, option in known.items():
        if option.required and name not in values:
            what = name.replace("_", " ")
            article = "an" if what[0] in "aeiou" else "a"
            fix = f"add {option.names[0]}" if recipe else f"name a recipe, or add {option.names[0]}"
            raise Ai8xError(f"{command} needs {article} {what}", fix=fix)
    return cls(**values)


def _choose_data(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Choose between a dataset by name and a folder that is one: what was given last decides.

    Without a dataset, the folder of `data` is the user's own; it is named like the folder.
    """
    own: OwnDataSettings | None = values.get(OWN_DATA)
    if given.get("dataset") is not None:
        values[OWN_DATA] = None
        return
    if own is None and "dataset" in values:
        return
    folder = values.pop("data", None) if own is None or given.get("data") is not None else None
    if folder == SYNTHETIC:
        fix = "name a recipe of a dataset, or pass --dataset"
        raise Ai8xError("--data synthetic imitates a dataset, and none is named", fix=fix)
    if folder is not None:
        own = OwnDataSettings(path=folder) if own is None else replace(own, path=folder)
    if own is not None:
        values[OWN_DATA] = own
        values.setdefault("dataset", resolved_path(own.path).name)
        values.setdefault("model", FITTING_MODEL)
