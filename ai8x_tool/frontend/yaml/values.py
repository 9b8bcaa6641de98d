"""Parsing of the values of a network description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.network.layer import BINARY, Pair
from ai8x_tool.readers.yaml_file import Entry
from ai8x_tool.rule import Finding

_MAP_LIMIT = 1 << 64


@dataclass(frozen=True)
class Fields:
    """One mapping of the description; `file`, `line` and `label` name its place in messages."""

    entries: dict[str, Entry]
    file: str
    label: str
    line: int

    def where(self, key: str | None = None) -> str:
        """Return file, line and name for messages about `key` (or the whole mapping)."""
        line = self.entries[key].line if key in self.entries else self.line
        return f"{self.file}:{line}: {self.label}"

    def fail(self, key: str, rule: str, fix: str | None = None) -> Ai8xError:
        """Return the error for the value of `key`."""
        shown = f" = {self.entries[key].plain()!r}" if key in self.entries else ""
        return Ai8xError(f"{key}{shown}: {rule}", where=self.where(key), fix=fix)

    def finding(self, key: str, remark: str | None = None, fix: str | None = None) -> Finding:
        """Return the finding of a rule that the value of `key` breaks."""
        shown = f"{key} = {self.entries[key].plain()!r}" if key in self.entries else f"no {key}"
        return Finding(f"{shown}: {remark}" if remark else shown, fix, self.where(key))

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def raw(self, key: str) -> Any:
        """Return the plain value of `key`; None if the key is absent."""
        return self.entries[key].plain() if key in self.entries else None

    def check_keys(self, known: list[str]) -> None:
        """Raise Ai8xError for the first key that is not known, naming the nearest known one."""
        for key, entry in self.entries.items():
            if key not in known:
                hint = nearest(key, known) or f"; known keys: {', '.join(known)}"
                raise Ai8xError(f"unknown key {key!r}{hint}", where=f"{self.file}:{entry.line}: {self.label}")

    def text(self, key: str) -> str:
        """Return a word; a number is converted to one."""
        value = self.raw(key)
        if isinstance(value, list | dict | bool) or value is None:
            raise self.fail(key, "must be a name")
        return str(value)

    def integer(self, key: str, default: int, low: int | None = None, high: int | None = None) -> int:
        """Return an integer within low…high (inclusive)."""
        value = self.optional_integer(key, low, high)
        return default if value is None else value

    def optional_integer(self, key: str, low: int | None = None, high: int | None = None) -> int | None:
        """Return an integer within low…high (inclusive); None if the key is absent."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(key, "must be an integer")
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"{low} … {high}" if high is not None else f"{low} or more"
            raise self.fail(key, f"must be {limits}")
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        """Return a boolean; 0 and 1 are accepted."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
        raise self.fail(key, "must be true or false")

    def choice(self, key: str, choices: dict[str, Any], default: Any) -> Any:
        """Return the value of a word in `choices`, compared without regard to case."""
        if key not in self.entries:
            return default
        value = self.raw(key)
        word = "none" if value is None else str(value).lower()
        if word not in choices:
            raise self.fail(key, f"must be one of {', '.join(choices)}{nearest(word, list(choices))}")
        return choices[word]

    def pair(self, key: str, default: Pair, low: int = 1, high: int | None = None) -> Pair:
        """Return [rows, columns]; a single number stands for both."""
        value = self.raw(key)
        if value is None:
            return default
        items = value if isinstance(value, list) else [value, value]
        if len(items) == 1:
            items = items * 2
        if len(items) != 2 or any(isinstance(v, bool) or not isinstance(v, int) for v in items):
            raise self.fail(key, "must be an integer or a list of two integers")
        if any(v < low or (high is not None and v > high) for v in items):
            raise self.fail(key, f"must be {low} … {high}" if high is not None else f"must be {low} or more")
        return items[0], items[1]

    def dimension(self, key: str) -> Pair | None:
        """Return a data size: L means (L, 1)."""
        value = self.raw(key)
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        if not 1 <= len(items) <= 2 or any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in items):
            raise self.fail(key, "must be a length or [rows, columns]")
        return items[0], items[1] if len(items) == 2 else 1

    def processor_map(self, key: str) -> int | None:
        """Return a 64-bit processor map, given as integer or as (dotted) hexadecimal text."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, str):
            digits = re.sub(r"[._]", "", value)
            try:
                value = int(digits, 16)
            except ValueError:
                raise self.fail(key, "must be a 64-bit hexadecimal number") from None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MAP_LIMIT:
            raise self.fail(key, "must be an integer from 1 to 2^64 − 1")
        return value

    def quantization(self, key: str) -> int | None:
        """Return weight bits 8, 4, 2, 1, or BINARY."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, str) and value.lower() in {"bin", "binary"}:
            return BINARY
        if isinstance(value, bool) or value not in (1, 2, 4, 8):
            raise self.fail(key, "must be 1, 2, 4, 8 or binary")
        return int(value)
