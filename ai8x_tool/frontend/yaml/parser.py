"""Parsing of a YAML file to a NetworkDescription."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.description import DataBuffer, LayerDescription, NetworkDescription
from ai8x_tool.frontend.yaml.description_rules import (
    LISTED_RULES,
    PLACED_RULES,
    UNLOAD_RULES,
    LayerKeys,
    ListedLayer,
    PlacedItem,
    constraint_buffer_declared,
    constraint_one_buffer,
)
from ai8x_tool.frontend.yaml.keys import BUFFER_KEYS, GLOBAL_KEYS, LAYER_KEYS, UNLOAD_KEYS
from ai8x_tool.frontend.yaml.layer_parser import MAX_GAP, parse_layer
from ai8x_tool.frontend.yaml.references import resolve_references
from ai8x_tool.frontend.yaml.values import Fields
from ai8x_tool.mapping.placement import UnloadItem
from ai8x_tool.readers.yaml_file import Entry, read_yaml
from ai8x_tool.rule import require

_SNOOP_VALUES = 32


def read_description(path: Path, device: Device, console: Console, *, skip_layers: int = 0) -> NetworkDescription:
    """Return the network description at `path`.

    The first `skip_layers` items of `layers` are ignored. Raises Ai8xError naming file, line, layer and rule.
    """
    root = read_yaml(path)
    if not isinstance(root.value, dict):
        raise Ai8xError("a network description must be a mapping with arch, dataset and layers", where=str(path))
    fields = Fields(root.value, str(path), "network description", root.line)
    fields.check_keys(GLOBAL_KEYS)
    for key in ("arch", "dataset", "layers"):
        if fields.raw(key) is None:
            raise Ai8xError(f"the key {key!r} is missing", where=str(path))
    buffer = _data_buffer(fields, device)
    layers = _layers(fields, device, console, buffer, skip_layers)
    return NetworkDescription(
        path=path,
        arch=fields.text("arch"),
        dataset=fields.text("dataset"),
        layers=layers,
        output_map=fields.processor_map("output_map"),
        unload=tuple(_unload_item(item, fields, device) for item in _list(fields, "unload")),
        data_buffer=buffer,
        snoop=_snoop(fields),
        test_weights=fields.text("weights") if fields.raw("weights") is not None else None,
        test_bias=fields.text("bias") if fields.raw("bias") is not None else None,
    )


def _layers(
    fields: Fields, device: Device, console: Console, buffer: DataBuffer | None, skip: int
) -> tuple[LayerDescription, ...]:
    items = _list(fields, "layers")[skip:]
    if not items:
        raise fields.fail("layers", "must list at least one layer")
    raw: list[tuple[int, Fields]] = []
    sequence = -1
    for item in items:
        if not isinstance(item.value, dict):
            raise Ai8xError("a layer must be a mapping of keys", where=f"{fields.file}:{item.line}")
        layer = Fields(item.value, fields.file, f"layer {len(raw)}", item.line)
        layer.check_keys(LAYER_KEYS)
        given = layer.optional_integer("sequence", 0)
        sequence = sequence + 1 if given is None else given - skip
        for rule in LISTED_RULES:
            require(rule, ListedLayer(layer, device, sequence, [number for number, _ in raw]))
        raw.append((sequence, layer))
    raw.sort(key=lambda pair: pair[0])
    for _, layer in raw:
        require(constraint_buffer_declared, LayerKeys(layer, int(buffer is not None)))
    references = resolve_references(raw, buffer, skip)
    placed = all("processors" in layer for _, layer in raw)
    return tuple(parse_layer(i, layer, references[i], console, placed=placed) for i, (_, layer) in enumerate(raw))


def _list(fields: Fields, key: str) -> list[Entry]:
    entry = fields.entries.get(key)
    if entry is None or entry.value is None:
        return []
    if not isinstance(entry.value, list):
        raise fields.fail(key, "must be a list")
    return entry.value


def _item(entry: Entry, fields: Fields, label: str, known: list[str], required: list[str]) -> Fields:
    if not isinstance(entry.value, dict):
        raise Ai8xError(f"{label} must be a mapping", where=f"{fields.file}:{entry.line}")
    item = Fields(entry.value, fields.file, label, entry.line)
    item.check_keys(known)
    for key in required:
        if item.raw(key) is None:
            raise Ai8xError(f"the key {key!r} is missing", where=item.where())
    return item


def _unload_item(entry: Entry, fields: Fields, device: Device) -> UnloadItem:
    keys = _item(entry, fields, "unload item", UNLOAD_KEYS, ["processors", "channels", "dim", "offset"])
    width, gap = keys.integer("width", 8), keys.integer("write_gap", 0, 0, MAX_GAP)
    values = _placed(keys, device)
    item = UnloadItem(width=width, write_gap=gap, size=values.pop("dim"), **values)
    for rule in UNLOAD_RULES:
        require(rule, PlacedItem(keys, device, item))
    return item


def _placed(item: Fields, device: Device) -> dict[str, Any]:
    return {
        "processors": item.processor_map("processors"),
        "channels": item.integer("channels", 1, 1, device.channels),
        "dim": item.dimension("dim"),
        "offset": item.integer("offset", 0, 0, device.instance_size),
    }


def _data_buffer(fields: Fields, device: Device) -> DataBuffer | None:
    items = _list(fields, "data_buffer")
    require(constraint_one_buffer, LayerKeys(fields, len(items)))
    if not items:
        return None
    keys = _item(items[0], fields, "data_buffer", BUFFER_KEYS, ["name", "processors", "channels", "dim", "offset"])
    buffer = DataBuffer(name=keys.text("name"), **_placed(keys, device))
    for rule in PLACED_RULES:
        require(rule, PlacedItem(keys, device, buffer))
    return buffer


def _snoop(fields: Fields) -> tuple[int, ...] | None:
    values = fields.raw("snoop")
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != _SNOOP_VALUES or not all(isinstance(v, int) for v in values):
        raise fields.fail("snoop", f"must be a list of {_SNOOP_VALUES} integers")
    return tuple(v & 0xFFFF_FFFF for v in values)
