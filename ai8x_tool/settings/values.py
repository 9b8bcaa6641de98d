"""Values of options as they come from files, the command line or Python, converted to what the settings declare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import expand
from ai8x_tool.settings.option import Option, Settings, options_of

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def typed(values: Mapping[str, Any], known: Mapping[str, Option], where: str | None) -> dict[str, Any]:
    """Return `values` with the types of the options; `where` they are from.

    Raises Ai8xError for unknown options, with the closest known one, and for values of another type.
    """
    result = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise Ai8xError(f"unknown option {key!r}{nearest(name, list(known))}", where=where)
        result[name] = _convert(value, known[name], where)
    return result


def _convert(value: Any, option: Option, where: str | None) -> Any:
    wanted = option.value
    if wanted.optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    if option.nested is not None:
        return _nested(value, option, option.nested, where)
    if wanted.choices:
        match = next((choice for choice in wanted.choices if choice.lower() == str(value).lower()), None)
        if match is None:
            raise Ai8xError(f"{option.name}: {value!r} is not one of {', '.join(wanted.choices)}", where=where)
        return match
    if option.declaration.assignments and isinstance(value, Mapping):
        return tuple(f"{key}={_json(entry)}" for key, entry in value.items())
    if wanted.several:
        separate = isinstance(value, list | tuple)
        entries = value if separate or option.declaration.repeatable else str(value).replace(",", " ").split()
        if not isinstance(entries, list | tuple):
            entries = [entries]
        return tuple(_scalar(entry, option, where) for entry in entries)
    return _scalar(value, option, where)


def _json(value: Any) -> str:
    import json  # noqa: PLC0415  (few runs need it)

    return json.dumps(value, default=str)


def _nested(value: Any, option: Option, kind: type[Settings], where: str | None) -> Settings:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise Ai8xError(f"{option.name}: {value!r} is not a mapping of options", where=where)
    try:
        return kind(**typed(value, options_of(kind), None))
    except Ai8xError as error:
        raise Ai8xError(f"{option.name}: {error}", where=where) from None


def _scalar(value: Any, option: Option, where: str | None) -> Any:
    kind, name = option.value.kind, option.name
    if isinstance(value, str) and not option.declaration.blank and (not value.strip() or "\0" in value):
        raise Ai8xError(f"{name}: {value!r} is not {_WORDS[kind]}", where=where)
    try:
        if kind is bool and isinstance(value, bool):
            return value
        if kind in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value) if kind is float else int(value)  # YAML reads 1e-3 as text
            if kind is float or not isinstance(value, float) or value == number:
                return number
        if kind in (str, Path) and isinstance(value, str | Path | int | float) and not isinstance(value, bool):
            return expand(value) if kind is Path and isinstance(value, str | Path) else kind(str(value))
    except (ValueError, OverflowError):
        pass
    raise Ai8xError(f"{name}: {value!r:.80} is not {_WORDS[kind]}", where=where)
