"""YAML files as plain values that remember their source lines; duplicate keys are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ai8x_tool.errors import Ai8xError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NODE_LIMIT = 200_000


@dataclass(frozen=True)
class Entry:
    """A value and the line (from 1) where it stands. Mappings hold entries by key, lists hold entries."""

    value: Any
    line: int

    def plain(self) -> Any:
        """Return the value without source lines."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        return self.value


class _Converter:
    def __init__(self, path: Path, loader: Any) -> None:
        self.path, self.loader, self.nodes = path, loader, 0

    def convert(self, node: yaml.Node) -> Entry:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > _NODE_LIMIT:
            raise Ai8xError("too many values", where=f"{self.path}:{line}")
        if isinstance(node, yaml.MappingNode):
            return Entry(self._mapping(node), line)
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.convert(child) for child in node.value], line)
        return Entry(self.loader.construct_object(node), line)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Entry]:
        mapping: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise Ai8xError("a key must be a word", where=f"{self.path}:{line}")
            key = str(key_node.value)
            if key in mapping:
                first = mapping[key].line
                raise Ai8xError(
                    f"duplicate key {key!r} (first at line {first})", where=f"{self.path}:{line}", fix="remove one"
                )
            mapping[key] = self.convert(value_node)
        return mapping


def read_yaml(path: Path) -> Entry:
    """Read the YAML file at `path` (YAML 1.1 scalars).

    Raises Ai8xError with file and line for syntax errors and duplicate keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Ai8xError("file not found", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Ai8xError(f"cannot be read: {error}", where=str(path)) from None
    try:
        loader = _LOADER(text)
        node = loader.get_single_node()
        return Entry({}, 1) if node is None else _Converter(path, loader).convert(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Ai8xError(f"YAML syntax error: {error.problem or error.context}", where=f"{path}{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Ai8xError(f"YAML error: {str(error).splitlines()[0]}", where=str(path)) from None
