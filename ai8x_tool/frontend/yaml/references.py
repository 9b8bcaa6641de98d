"""Resolution of layer references: names and sequence numbers to layer indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai8x_tool.frontend.yaml.description import BUFFER, INPUT, STOP, DataBuffer
from ai8x_tool.frontend.yaml.description_rules import (
    RESERVED_NAMES,
    LayerKeys,
    Reference,
    constraint_layer_name,
    constraint_reference,
    constraint_sources_named,
)
from ai8x_tool.frontend.yaml.values import Fields
from ai8x_tool.rule import require


@dataclass(frozen=True)
class References:
    """The resolved references of one layer."""

    name: str | None = None
    in_sequences: tuple[int, ...] | None = None
    next_sequence: int | None = None
    simulated_sequence: int | None = None
    snoop_sequence: int | None = None
    weight_source: int | None = None


@dataclass(frozen=True)
class _Names:
    indices: dict[int, int]
    names: dict[str, int]
    skip: int

    def resolve(self, fields: Fields, key: str, value: Any, words: dict[str, int]) -> int:
        """Return the layer index to which `value` refers; `words` are names with a special meaning."""
        if isinstance(value, str):
            word = value.lower()
            if word in words:
                return words[word]
            if word in self.names:
                return self.names[word]
            if not word.lstrip("-").isdigit():
                require(constraint_reference, Reference(fields, key, value, None, self.names))
            value = int(word)
        if isinstance(value, bool) or not isinstance(value, int):
            raise fields.fail(key, "must be a layer's number or name")
        if value < 0:
            if value == -1 and words:  # the input, or the end
                return next(iter(words.values()))
            raise fields.fail(key, "must be a layer's number or name")
        number = value - self.skip
        return self.indices.get(number, number)


def resolve_references(raw: list[tuple[int, Fields]], buffer: DataBuffer | None, skip: int) -> list[References]:
    """Return the references of all layers; `raw` contains (sequence number, keys) in order of the numbers."""
    indices = {sequence: index for index, (sequence, _) in enumerate(raw)}
    names = _layer_names([fields for _, fields in raw], buffer)
    table = _Names(indices, names, skip)
    sources = {"input": INPUT, **({buffer.name.lower(): BUFFER} if buffer else {})}
    return [_layer_references(table, fields, sources) for _, fields in raw]


def _layer_names(layers: list[Fields], buffer: DataBuffer | None) -> dict[str, int]:
    names: dict[str, int] = {}
    reserved = {*RESERVED_NAMES, *([buffer.name.lower()] if buffer else [])}
    for index, fields in enumerate(layers):
        if fields.raw("name") is None:
            continue
        word = fields.text("name").lower()
        require(constraint_layer_name, Reference(fields, "name", word, names.get(word), reserved))
        names[word] = index
    return names


def _layer_references(table: _Names, fields: Fields, sources: dict[str, int]) -> References:
    def optional(key: str, words: dict[str, int]) -> int | None:
        value = fields.raw(key)
        return None if value is None else table.resolve(fields, key, value, words)

    value = fields.raw("in_sequences")
    items = None if value is None else value if isinstance(value, list) else [value]
    require(constraint_sources_named, LayerKeys(fields))
    for key in ("simulated_sequence", "snoop_sequence", "weight_source"):
        target = optional(key, {"stop": STOP})
        if target is not None and target != STOP and target not in table.indices.values():
            require(constraint_reference, Reference(fields, key, fields.raw(key), None, table.names))
    return References(
        name=None if fields.raw("name") is None else fields.text("name"),
        in_sequences=None if items is None else tuple(table.resolve(fields, "in_sequences", v, sources) for v in items),
        next_sequence=optional("next_sequence", {"stop": STOP}),
        simulated_sequence=optional("simulated_sequence", {"stop": STOP}),
        snoop_sequence=optional("snoop_sequence", {}),
        weight_source=optional("weight_source", {}),
    )
