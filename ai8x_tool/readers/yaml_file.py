"""Reader of YAML files that keeps the source lines of values and rejects duplicate keys."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import read_text

_MOST_BYTES = 1 << 21
_MOST_VALUES = 200_000
_DEEPEST = 50
_SAFE_DEPTH = 1000
"""Depth of nesting that is safe for the parser."""
_LONGEST_NUMBER = 64
_MERGE, _INT, _TIMESTAMP = (f"tag:yaml.org,2002:{name}" for name in ("merge", "int", "timestamp"))
_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SAFE):  # type: ignore[misc]
    """Reader of the scalars of YAML 1.1, except that dates are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's name for it, and its type)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in _SAFE.yaml_implicit_resolvers.items()
    }


class _EscapedLoader(yaml.SafeLoader):
    """The same for texts with file names that are not UTF-8, whose bytes PyYAML escapes and libyaml rejects."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_MOST_ESCAPED = 1 << 16
"""Characters of such texts, which need the slow loader."""
_ESCAPED_BYTE = re.compile(r"\\uDC[89A-F][0-9A-F]")
_SURROGATE = re.compile(r"\\[uU]0*[dD][89a-fA-F]")


def _loader(text: str) -> type[Any]:
    """Return the loader for a text."""
    escaped = len(_ESCAPED_BYTE.findall(text)) if len(text) < _MOST_ESCAPED else 0
    return _EscapedLoader if escaped and escaped == len(_SURROGATE.findall(text)) else _Loader


@dataclass(frozen=True)
class Entry:
    """A value and its line, counted from 1. Mappings contain entries by key, lists contain entries."""

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

    def convert(self, node: yaml.Node, depth: int = 0) -> Entry:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > _MOST_VALUES:
            raise self._error(f"more than {_MOST_VALUES:,} values", line)
        if depth > _DEEPEST:
            raise self._error(f"values are nested more than {_DEEPEST} levels deep", line)
        if isinstance(node, yaml.MappingNode):
            return Entry(self._mapping(node, depth), line)
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.convert(child, depth + 1) for child in node.value], line)
        return Entry(self._scalar(node, line), line)

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        if node.tag == _INT and len(node.value) > _LONGEST_NUMBER:
            raise self._error(f"a number of {len(node.value):,} digits", line)
        try:
            return self.loader.construct_object(node)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
            raise self._error(f"{node.value!r} is not a value of type {node.tag.rpartition(':')[2]}", line) from None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Entry]:
        mapping: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error("a key must be a word", line)
            key = str(key_node.value)
            if key_node.tag == _MERGE:
                merged = self._merged(value_node, depth) | merged
                continue
            if key in mapping:
                raise self._error(f"duplicate key {key!r} (first at line {mapping[key].line})", line, fix="remove one")
            mapping[key] = self.convert(value_node, depth + 1)
        return {**merged, **mapping} if merged else mapping

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Entry]:
        """Return the keys that ``<<: *name`` merges; of several mappings, the first takes precedence."""
        merged: dict[str, Entry] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            entry = self.convert(source, depth + 1)
            if not isinstance(entry.value, dict):
                raise self._error("only mappings can be merged", entry.line)
            merged = entry.value | merged
        return merged

    def _error(self, text: str, line: int, fix: str | None = None) -> Ai8xError:
        return Ai8xError(text, where=f"{self.path}:{line}", fix=fix)


def read_yaml(path: Path) -> Entry:
    """Read the YAML file at `path` (YAML 1.1, but dates are text).

    Raises Ai8xError, which names file and line, for syntax errors, duplicate keys, and excessive numbers of values,
    levels or digits.
    """
    text = read_text(path, _MOST_BYTES)
    try:
        _check_depth(path, text)
        loader = _loader(text)(text)
        node = loader.get_single_node()
        return Entry({}, 1) if node is None else _Converter(path, loader).convert(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Ai8xError(f"YAML syntax error: {error.problem or error.context}", where=f"{path}{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Ai8xError(f"YAML error: {str(error).splitlines()[0]}", where=str(path)) from None


def read_plain(path: Path) -> Any:
    """Return the content of a YAML file without source lines; see :func:`read_yaml`."""
    return read_yaml(path).plain()


def _check_depth(path: Path, text: str) -> None:
    """Raise Ai8xError for nesting that is too deep for the parser, which is recursive."""
    if sum(map(text.count, "[{-?")) + math.isqrt(2 * len(text)) < _SAFE_DEPTH:
        return
    depth = values = 0
    for event in _events(text):
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST + 1 or values > _MOST_VALUES:
            line = event.start_mark.line + 1
            what = f"values are nested more than {_DEEPEST} levels deep" if depth > _DEEPEST else "too many values"
            raise Ai8xError(what, where=f"{path}:{line}")


def _events(text: str) -> Iterator[Any]:
    return iter(yaml.parse(text, Loader=_loader(text)))
