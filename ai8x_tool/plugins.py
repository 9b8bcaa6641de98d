"""Models and data sets: Python files in ``models`` and ``datasets`` folders, found by path, the user's own first."""

from __future__ import annotations

import ast
import importlib.util
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError, nearest

if TYPE_CHECKING:
    from ai8x_tool.training.data import DataSetEntry


@dataclass(frozen=True)
class Listing:
    """What ``ai8x list`` says about one model or data set."""

    name: str
    file: Path
    description: str


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be built. spec: training, section 1.1. `dim` is 1 for (C, L) inputs, 2 for (C, H, W).

    With `dr` it takes the length of an embedding, as `dimensionality`.
    """

    name: str
    min_input: int
    dim: int
    build: Callable[..., Any]
    file: Path
    dr: bool = False


def list_models() -> list[Listing]:
    """Return all models, without importing torch unless a file computes its list; the user's own hide shipped ones."""
    return _listings("models")


def list_datasets() -> list[Listing]:
    """Return all data sets, like :func:`list_models`."""
    return _listings("datasets")


def find_model(name: str) -> ModelEntry:
    """Return the model called `name` (in any case). Raises Ai8xError naming the closest one, or the faulty file."""
    listing = _find("models", name, ignore_case=True)
    module = load_plugin(listing.file)
    entry = next(e for e in module.models if e["name"].lower() == name.lower())
    build = getattr(module, entry["name"], None)
    if not callable(build):
        raise Ai8xError(f"lists the model {entry['name']!r} but has no function of that name", where=str(listing.file))
    size, dim, dr = entry.get("min_input", 1), entry.get("dim", 2), bool(entry.get("dr", False))
    return ModelEntry(entry["name"], size, dim, build, listing.file, dr)


def find_dataset(name: str) -> DataSetEntry:
    """Return the data set called `name`. Raises Ai8xError naming the closest one, or the faulty file."""
    from ai8x_tool.training.data import DataSetEntry  # noqa: PLC0415  (imports torch)

    listing = _find("datasets", name, ignore_case=False)
    for entry in load_plugin(listing.file).datasets:
        if isinstance(entry, DataSetEntry) and entry.name == name:
            return entry
    raise Ai8xError(f"the entry of {name!r} is not a DataSetEntry", where=str(listing.file))


def load_plugin(path: Path) -> ModuleType:
    """Execute a plugin file once and return its module; ``import ai8x`` in it gives :mod:`ai8x_tool.nn`.

    The module has a name of its own, so that no plugin can shadow a library. Raises Ai8xError naming file and line.
    """
    path = path.resolve()
    name = f"ai8x_plugin_{path.stem}_{zlib.crc32(f'{path}:{path.stat().st_mtime_ns}'.encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _library_names():
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception):
            raise plugin_error(error, path) from None
        raise
    return module


def plugin_error(error: Exception, path: Path) -> Ai8xError:
    """Turn an exception out of a plugin file into one line with file and line number."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    text = " ".join(str(error).split())
    message = text if isinstance(error, Ai8xError) else f"{type(error).__name__}: {text}"
    return Ai8xError(message, where=f"{path}:{line}" if line else str(path))


@contextmanager
def _library_names() -> Iterator[None]:
    from ai8x_tool import nn  # noqa: PLC0415  (imports torch)
    from ai8x_tool.nn import blocks  # noqa: PLC0415

    names: dict[str, ModuleType] = {"ai8x": nn, "ai8x_blocks": blocks}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _find(kind: str, name: str, *, ignore_case: bool) -> Listing:
    faults: list[Ai8xError] = []
    known = _listings(kind, faults)
    for listing in known:
        if listing.name == name or (ignore_case and listing.name.lower() == name.lower()):
            return listing
    if faults:
        raise faults[0]
    thing = {"models": "model", "datasets": "data set"}[kind]
    raise Ai8xError(f"no {thing} named {name!r}{nearest(name, [k.name for k in known])}", fix=f"ai8x list {kind}")


def _listings(kind: str, faults: list[Ai8xError] | None = None) -> list[Listing]:
    """All entries; a faulty file is collected in `faults`, or raised where there is no such list."""
    found: dict[str, Listing] = {}
    for folder in resources.search_path(kind):
        for path in sorted(folder.glob("*.py")):
            try:
                entries = _entries(path, kind)
            except Ai8xError as error:
                if faults is None:
                    raise
                faults.append(error)
                continue
            for entry in entries:
                found.setdefault(entry.name, entry)
    return list(found.values())


def _entries(path: Path, kind: str) -> list[Listing]:
    """Entries of one file, read from its text where they are written down plainly, else by executing it."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise plugin_error(error, path) from None
    value = next((v for name, v in _assignments(tree) if name == kind), None)
    if value is None:
        return []
    static = _static_entries(tree, value)
    if static is None:
        static = [_described(entry) for entry in getattr(load_plugin(path), kind)]
    return [Listing(name, path, description) for name, description in static]


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _static_entries(tree: ast.Module, value: ast.expr) -> list[tuple[str, str]] | None:
    """Names and descriptions from a list of dictionaries or of calls with keywords; None if they must be computed."""
    documented = {
        node.name: (ast.get_docstring(node) or "").split("\n")[0]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    about = (ast.get_docstring(tree) or "").split("\n")[0]
    entries = []
    for element in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
        fields = _constants(element)
        if not isinstance(fields.get("name"), str):
            return None
        name = fields["name"]
        entries.append((name, str(fields.get("description") or documented.get(name) or about)))
    return entries


def _constants(element: ast.expr) -> dict[str, Any]:
    if isinstance(element, ast.Call):
        pairs = {"name": element.args[0]} if element.args else {}
        pairs |= {keyword.arg: keyword.value for keyword in element.keywords if keyword.arg}
    elif isinstance(element, ast.Dict):
        keys = [str(key.value) if isinstance(key, ast.Constant) else "" for key in element.keys]
        pairs = dict(zip(keys, element.values, strict=True))
    else:
        pairs = {}
    return {name: value.value for name, value in pairs.items() if isinstance(value, ast.Constant)}


def _described(entry: Any) -> tuple[str, str]:
    if isinstance(entry, dict):
        return str(entry.get("name")), str(entry.get("description", ""))
    return str(entry.name), str(entry.description)
