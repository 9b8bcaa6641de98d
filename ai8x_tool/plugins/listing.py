"""Contents of plugin files, read from their text without execution."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ai8x_tool.compat.trainer import PACKAGE as TRAINER_PACKAGE
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.load import LIBRARY_NAMES, load_plugin, plugin_error
from ai8x_tool.readers.text_file import require_regular

_MOST_BYTES = 1 << 20
"""Largest size of a plugin file, in bytes."""

_PACKAGES = {
    "cv2": "opencv-python",
    "git": "GitPython",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
"""Names of packages that differ from the name of their module."""
_SEARCH = "ai8x_nas"


@dataclass(frozen=True)
class Listing:
    """Entry of ``ai8x list`` for one model or dataset."""

    name: str
    file: Path
    description: str


def read_listings(path: Path, kind: str) -> list[Listing]:
    """Return the entries of a file, read from its text if they are stated literally, else by executing it.

    Raises Ai8xError for a file that cannot be used, for example with a syntax error or a missing package.
    """
    require_regular(path, _MOST_BYTES)
    try:
        tree = _parsed(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise plugin_error(error, path) from None
    value = next((v for name, v in _assignments(tree) if name == kind), None)
    if value is None:
        return []
    _check_imports(tree, path)
    static = _static_entries(tree, value)
    if static is None:
        static = _computed_entries(getattr(load_plugin(path), kind, None), path, kind)
    return [Listing(name, path, description) for name, description in static]


@lru_cache(maxsize=512)
def _parsed(text: bytes, name: str) -> ast.Module:
    """Return the syntax tree of a file, which is cached."""
    return ast.parse(text, name)


def _check_imports(tree: ast.Module, path: Path) -> None:
    """Raise Ai8xError if imported packages are not installed; nothing is imported."""
    missing: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top == _SEARCH:
                raise Ai8xError(f"needs {top}: architecture search is not supported", where=f"{path}:{node.lineno}")
            known = top in sys.modules or top in LIBRARY_NAMES or top == TRAINER_PACKAGE
            if not known and not _can_be_found(top, path):
                missing.setdefault(top, node.lineno)
    if missing:
        names = [_PACKAGES.get(name, name) for name in missing]
        listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
        message = f"needs {listed}, which {'are' if len(names) > 1 else 'is'} not installed"
        line = next(iter(missing.values()))
        raise Ai8xError(
            message, where=f"{path}:{line}", fix=f"install {'them' if len(names) > 1 else 'it'} to use this file"
        )


def _can_be_found(name: str, path: Path) -> bool:
    root = path.parent.parent
    if (root / name).is_dir() or (root / f"{name}.py").is_file():
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _static_entries(tree: ast.Module, value: ast.expr) -> list[tuple[str, str]] | None:
    """Return names and descriptions from a literal list of dictionaries or calls; None if they must be computed."""
    if not isinstance(value, ast.List | ast.Tuple):
        return None
    documented = {
        node.name: (ast.get_docstring(node) or "").split("\n")[0]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    about = (ast.get_docstring(tree) or "").split("\n")[0]
    entries = []
    for element in value.elts:
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


def _computed_entries(entries: Any, path: Path, kind: str) -> list[tuple[str, str]]:
    if not isinstance(entries, list | tuple):
        raise Ai8xError(f"{kind!r} must be a list, not {type(entries).__name__}", where=str(path))
    described = []
    for number, entry in enumerate(entries):
        fields = entry if isinstance(entry, dict) else getattr(entry, "__dict__", {})
        if not isinstance(fields.get("name"), str):
            raise Ai8xError(f"entry {number} of {kind!r} must have a name", where=str(path), fix="add a name, a string")
        described.append((fields["name"], str(fields.get("description") or "")))
    return described


def static_input(path: Path, name: str) -> tuple[int, ...] | None:
    """Return the shape of an input stated in the entry `name` of a dataset file, without executing the file.

    None if it is not stated literally, as numbers or constants of the file.
    """
    tree = ast.parse(path.read_bytes(), str(path))
    values = dict(_assignments(tree))
    entries = values.get("datasets")
    if not isinstance(entries, ast.List | ast.Tuple):
        return None
    for element in entries.elts:
        if _constants(element).get("name") == name:
            return _numbers(_field(element, "input", 1), values)
    return None


def _field(element: ast.expr, name: str, position: int) -> ast.expr | None:
    """Return one value of an entry: a keyword or positional argument of a call, or an item of a dictionary."""
    if isinstance(element, ast.Call):
        found = next((keyword.value for keyword in element.keywords if keyword.arg == name), None)
        return found or (element.args[position] if len(element.args) > position else None)
    if isinstance(element, ast.Dict):
        pairs = zip(element.keys, element.values, strict=True)
        return next((value for key, value in pairs if isinstance(key, ast.Constant) and key.value == name), None)
    return None


def _numbers(value: ast.expr | None, constants: dict[str, ast.expr]) -> tuple[int, ...] | None:
    if not isinstance(value, ast.Tuple | ast.List):
        return None
    known = [constants.get(entry.id, entry) if isinstance(entry, ast.Name) else entry for entry in value.elts]
    if not all(isinstance(entry, ast.Constant) and type(entry.value) is int for entry in known):
        return None
    return tuple(entry.value for entry in known if isinstance(entry, ast.Constant) and isinstance(entry.value, int))
