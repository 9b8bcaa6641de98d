"""Validation of the preprocessing that checkpoints and projects describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ai8x_tool.errors import Ai8xError

_MOST_VALUES, _MOST_COLUMNS, _MOST_RATE, _DEEPEST = 1 << 26, 1024, 1_000_000, 8


def checked_preprocessing(document: Any, where: str) -> dict[str, Any]:
    """Return the preprocessing `document` from `where`, with all values checked. Raises Ai8xError for invalid ones."""
    try:
        found: dict[str, Any] = _plain(document)
        kind, shape = found["kind"], _whole_numbers(found["input"], _MOST_VALUES)
        offset, gain = (_numbers(found[key]) for key in ("offset", "gain"))
        if len(shape) not in (1, 2, 3) or math.prod(shape) > _MOST_VALUES or len(offset) != len(gain) or not offset:
            raise ValueError("invalid shape of the input, or number of offsets or gains")
        reading = {key: check(found["reading"][key]) for key, check in _READING[kind].items()}
        checked = {"kind": kind, "input": shape, "offset": offset, "gain": gain, "reading": reading}
        return {**found, **checked, "per_sample": bool(found["per_sample"])}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        fix = "train the model again"
        raise Ai8xError(f"unknown form of preprocessing ({error})", where=where, fix=fix) from None


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value of numbers, texts, lists and mappings. Raises ValueError or TypeError for others."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return {_text(key): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, depth + 1) for entry in value]
    if value is None or isinstance(value, bool | str):
        return value
    return value if isinstance(value, int) and abs(value) <= _MOST_VALUES else _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a value is not text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("a value is not a number")
    return float(value)


def _numbers(values: Any) -> list[float]:
    return [_number(value) for value in _entries(values)]


def _entries(values: Any) -> Sequence[Any]:
    if not isinstance(values, list) or len(values) > _MOST_COLUMNS:
        raise TypeError("a value is not a list")
    return values


def _whole(most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"a value is not an integer from 1 to {most}")
        return value

    return check


def _whole_numbers(values: Any, most: int) -> list[int]:
    return [_whole(most)(value) for value in _entries(values)]


def _size(values: Any) -> list[int]:
    sizes = _whole_numbers(values, 4096)
    if len(sizes) != 2:
        raise ValueError("the size must be rows and columns")
    return sizes


def _columns(values: Any) -> list[str]:
    return [str(value) if isinstance(value, int) else _text(value) for value in _entries(values)]


_READING: dict[str, dict[str, Callable[[Any], Any]]] = {
    "images": {"size": _size, "channels": _whole(_MOST_COLUMNS)},
    "sound": {"rate": _whole(_MOST_RATE), "window": _whole(1 << 24)},
    "sound windows": {"rate": _whole(_MOST_RATE), "window": _whole(1 << 24)},
    "series": {"window": _whole(1 << 24), "columns": _columns},
}
"""Checks of the values that describe how files of each kind are read."""
