"""Search for models and datasets: Python files in ``models`` and ``datasets`` folders, the user's own first.

A file that cannot be used does not affect the others: it is skipped with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.plugins.listing import Listing, read_listings, static_input
from ai8x_tool.plugins.load import call_plugin, load_plugin, plugin_error
from ai8x_tool.settings.model import SYNTHETIC
from ai8x_tool.text import decode_surrogates

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.data.dataset import DatasetEntry
    from ai8x_tool.settings.evaluation import EvaluateSettings
    from ai8x_tool.settings.training import TrainSettings

__all__ = [
    "Listing",
    "ModelEntry",
    "find_dataset",
    "find_model",
    "list_datasets",
    "list_models",
    "load_plugin",
    "places",
    "plugin_error",
]


@dataclass(frozen=True)
class ModelEntry:
    """A model as listed by its file.

    Inputs have at least `min_input` columns (narrower ones are padded); `dim` is 1 for (C, L), 2 for (C, H, W). With
    `dr`, the model takes the length of an embedding as the argument `dimensionality`.
    """

    name: str
    min_input: int
    dim: int
    build: Callable[..., Any]
    file: Path
    dr: bool = False


@dataclass(frozen=True)
class _Fault:
    file: Path
    error: Ai8xError


def list_models(console: Console | None = None) -> list[Listing]:
    """Return all models; the user's own replace shipped ones. PyTorch is imported only if a file computes its list.

    Files that cannot be used are skipped, with a warning if there is a `console`.
    """
    return _listings("models", console)[0]


def list_datasets(console: Console | None = None) -> list[Listing]:
    """Return all datasets, like :func:`list_models`."""
    return _listings("datasets", console)[0]


def find_model(name: str, console: Console | None = None) -> ModelEntry:
    """Return the model `name`, ignoring case. Raises Ai8xError naming the closest match or the faulty file."""
    name = decode_surrogates(name)
    return _model_in(_find("models", name, console, ignore_case=True).file, name)


def model_in_file(file: Path, name: str | None = None) -> ModelEntry:
    """Return the model `name`, ignoring case, of a model file; without a name, the only model. Raises Ai8xError."""
    known = [listing.name for listing in read_listings(file, "models")]
    if name is None and len(known) == 1:
        return _model_in(file, known[0])
    if name is None or name.lower() not in map(str.lower, known):
        names = ", ".join(known) or "none, because it has no list `models`"
        raise Ai8xError(f"its models are {names}", where=str(file), fix="choose one with --model" if known else None)
    return _model_in(file, name)


def _model_in(file: Path, name: str) -> ModelEntry:
    module = load_plugin(file)
    entry = next(e for e in module.models if isinstance(e, dict) and str(e.get("name")).lower() == name.lower())
    build = getattr(module, entry["name"], None)
    if not callable(build):
        raise Ai8xError(f"the listed model {entry['name']!r} must be a function or class of the file", where=str(file))
    size, dim, dr = entry.get("min_input", 1), entry.get("dim", 2), entry.get("dr", False)
    for key, value, good, rule in (
        ("min_input", size, type(size) is int and size >= 0, "a whole number"),
        ("dim", dim, type(dim) is int and dim in (1, 2), "1 or 2"),
        ("dr", dr, isinstance(dr, bool), "True or False"),
    ):
        if not good:
            where = f"{file}: model {entry['name']!r}"
            raise Ai8xError(f"{key!r} must be {rule}, not {value!r:.60}", where=where, fix="correct the file")
    return ModelEntry(entry["name"], size, dim, partial(call_plugin, file, build), file, dr)


def places(model: ModelEntry, entry: DatasetEntry) -> str:
    """Return the files of a model and a dataset used together, for messages that concern either."""
    return f"{model.file}, {entry.file or entry.name}"


def find_dataset(
    name: str, settings: TrainSettings | EvaluateSettings | None = None, console: Console | None = None
) -> DatasetEntry:
    """Return the dataset `name`. Raises Ai8xError naming the closest match or the faulty file.

    Loaders written for the reference trainer receive the `settings`. With `--data synthetic`, the entry loads synthetic
    data.
    """
    entry = _found_dataset(name, settings, console)
    if settings is None or settings.data != SYNTHETIC or settings.own_data is not None:
        return entry
    from ai8x_tool.data.synthetic import synthetic_entry  # noqa: PLC0415  (imports torch)

    return synthetic_entry(entry)


def _found_dataset(
    name: str, settings: TrainSettings | EvaluateSettings | None, console: Console | None
) -> DatasetEntry:
    from ai8x_tool.data.dataset import DatasetEntry  # noqa: PLC0415  (imports torch)
    from ai8x_tool.plugins.dataset_checks import checked_entry  # noqa: PLC0415
    from ai8x_tool.plugins.reference_data import adapt_entry  # noqa: PLC0415

    name = decode_surrogates(name)
    own = None if settings is None else settings.own_data
    if own is not None:
        from ai8x_tool.data.own import own_entry  # noqa: PLC0415

        return own_entry(name, own)
    listing = _find("datasets", name, console, ignore_case=False)
    for entry in load_plugin(listing.file).datasets:
        if isinstance(entry, DatasetEntry) and entry.name == name:
            return checked_entry(entry, listing.file)
        if isinstance(entry, dict) and entry.get("name") == name:
            return adapt_entry(entry, listing.file, settings)
    raise Ai8xError(f"the entry of {name!r} must be a DatasetEntry or a dictionary", where=str(listing.file))


def dataset_input(name: str, console: Console | None = None) -> tuple[int, ...]:
    """Return the shape of an input of a dataset, read from the text of its file if stated literally.

    Otherwise the file is executed. Raises Ai8xError like :func:`find_dataset`.
    """
    name = decode_surrogates(name)
    listing = _find("datasets", name, console, ignore_case=False)
    return static_input(listing.file, name) or tuple(find_dataset(name, None, console).input)


def _find(kind: str, name: str, console: Console | None, *, ignore_case: bool) -> Listing:
    known, faults = _listings(kind, console)
    for listing in known:
        if listing.name == name or (ignore_case and listing.name.lower() == name.lower()):
            return listing
    hint = nearest(name, [k.name for k in known])
    for fault in faults:
        if not hint or _mentions(fault.file, name):
            raise fault.error
    thing = {"models": "model", "datasets": "dataset"}[kind]
    raise Ai8xError(f"no {thing} named {name!r}{hint}", fix=f"ai8x list {kind}")


def _mentions(path: Path, name: str) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


def _listings(kind: str, console: Console | None) -> tuple[list[Listing], list[_Fault]]:
    """Return all entries, and the faults of files that could not be used."""
    found: dict[str, Listing] = {}
    faults: list[_Fault] = []
    for folder in resources.search_path(kind):
        for path in sorted(folder.glob("*.py")):
            try:
                entries = read_listings(path, kind)
            except Ai8xError as error:
                faults.append(_Fault(path, error))
                continue
            for entry in entries:
                found.setdefault(entry.name, entry)
    for fault in faults:
        if console is not None:
            console.warn(f"{fault.error}: skipped")
    return list(found.values()), faults
