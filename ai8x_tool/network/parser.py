"""From a YAML file to a NetworkDescription. spec: network-yaml, sections 1, 2 and 4.1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.description import DataBuffer, LayerDescription, NetworkDescription, UnloadItem
from ai8x_tool.network.dimensions import passes, processors_per_pass
from ai8x_tool.network.layer_parser import LAYER_KEYS, MAX_GAP, parse_layer
from ai8x_tool.network.references import resolve_references
from ai8x_tool.network.values import Fields
from ai8x_tool.network.yaml_reader import Entry, read_yaml

GLOBAL_KEYS = ["arch", "dataset", "layers", "bias", "weights", "output_map", "unload", "data_buffer", "snoop"]
_UNLOAD_KEYS = ["processors", "channels", "dim", "offset", "width", "write_gap"]
_BUFFER_KEYS = ["name", "processors", "channels", "dim", "offset", "width"]
_SNOOP_VALUES = 32


def read_description(path: Path, device: Device, console: Console, *, skip_layers: int = 0) -> NetworkDescription:
    """Read the network description at `path`.

    `skip_layers` drops the first items of `layers`. Raises Ai8xError naming file, line, layer and rule.
    """
    root = read_yaml(path)
    if not isinstance(root.value, dict):
        raise Ai8xError("a network description is a mapping with arch, dataset and layers", where=str(path))
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
        if sequence >= device.layers:
            raise layer.fail("sequence", f"the {device.name} has {device.layers} layers (0 … {device.layers - 1})")
        if any(sequence == other for other, _ in raw):
            raise layer.fail("sequence", f"number {sequence} is already used")
        raw.append((sequence, layer))
    raw.sort(key=lambda pair: pair[0])
    _check_buffer_keys(raw, buffer)
    references = resolve_references(raw, buffer, skip)
    return tuple(parse_layer(i, layer, references[i], console) for i, (_, layer) in enumerate(raw))


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
            raise Ai8xError(f"{label} lacks {key!r}", where=item.where())
    return item


def _unload_item(entry: Entry, fields: Fields, device: Device) -> UnloadItem:
    item = _item(entry, fields, "unload item", _UNLOAD_KEYS, ["processors", "channels", "dim", "offset"])
    width, gap = item.integer("width", 8), item.integer("write_gap", 0, 0, MAX_GAP)
    if width not in (8, 32):
        raise item.fail("width", "must be 8 or 32")
    placed = _placed(item, device)
    needed, have = processors_per_pass(placed["channels"]), placed["processors"].bit_count()
    if have < needed:
        raise item.fail("processors", f"has {have} bits, {placed['channels']} channels need {needed}")
    rows, columns = placed["dim"]
    words = rows * columns * passes(placed["channels"]) * width // 8 * (gap + 1)
    if placed["offset"] + 4 * words > device.instance_size:
        raise item.fail("offset", f"{4 * words:,} bytes from there leave data memory ({device.instance_size:,})")
    return UnloadItem(width=width, write_gap=gap, **placed)


def _placed(item: Fields, device: Device) -> dict[str, Any]:
    offset = item.integer("offset", 0, 0, device.instance_size)
    if offset % 4:
        raise item.fail("offset", "must be a multiple of 4")
    dim = item.dimension("dim")
    if dim is None or max(dim) > device.dimension:
        raise item.fail("dim", f"must be at most {device.dimension}")
    return {
        "processors": item.processor_map("processors"),
        "channels": item.integer("channels", 1, 1, device.channels),
        "dim": dim,
        "offset": offset,
    }


def _data_buffer(fields: Fields, device: Device) -> DataBuffer | None:
    items = _list(fields, "data_buffer")
    if not items:
        return None
    if len(items) != 1:
        raise fields.fail("data_buffer", "there can be only one rolling buffer")
    item = _item(items[0], fields, "data_buffer", _BUFFER_KEYS, ["name", "processors", "channels", "dim", "offset"])
    return DataBuffer(name=item.text("name"), **_placed(item, device))


def _check_buffer_keys(layers: list[tuple[int, Fields]], buffer: DataBuffer | None) -> None:
    for _, layer in layers:
        for key in ("buffer_shift", "buffer_insert"):
            if layer.raw(key) is not None and buffer is None:
                raise layer.fail(key, "needs a data_buffer")


def _snoop(fields: Fields) -> tuple[int, ...] | None:
    values = fields.raw("snoop")
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != _SNOOP_VALUES or not all(isinstance(v, int) for v in values):
        raise fields.fail("snoop", f"must be a list of {_SNOOP_VALUES} integers")
    return tuple(v & 0xFFFF_FFFF for v in values)
