"""Rules about the list of layers, their names and references, unload items and the rolling buffer."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.errors import nearest
from ai8x_tool.frontend.yaml.description import DataBuffer
from ai8x_tool.frontend.yaml.values import Fields
from ai8x_tool.mapping.placement import UnloadItem
from ai8x_tool.network.sizes import passes, processors_per_pass
from ai8x_tool.rule import Finding

RESERVED_NAMES = ("input", "stop")


class ListedLayer(NamedTuple):
    """An item of `layers` with its sequence number and the numbers of the preceding items."""

    fields: Fields
    device: Device
    sequence: int
    taken: Collection[int]

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.fields.where()


class LayerKeys(NamedTuple):
    """The keys of a layer or of the whole description, and the number of rolling buffers."""

    fields: Fields
    buffers: int = 0

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.fields.where()


class Reference(NamedTuple):
    """A value of `key` that names a layer; `target` is None if there is no such layer."""

    fields: Fields
    key: str
    value: object
    target: int | None
    names: Collection[str]

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.fields.where(self.key)


class PlacedItem(NamedTuple):
    """An unload item or a rolling buffer with its keys."""

    fields: Fields
    device: Device
    item: UnloadItem | DataBuffer

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.item.size if isinstance(self.item, UnloadItem) else self.item.dim

    @property
    def where(self) -> str:
        """File, line and item."""
        return self.fields.where()


def constraint_sequence_limit(s: ListedLayer) -> Finding | None:
    """Sequence numbers must be below the number of layers that the device can execute."""
    limit = s.device.layers
    if s.sequence < limit:
        return None
    values = f"sequence = {s.sequence}, the {s.device.name} has {limit} layers (0 … {limit - 1})"
    return Finding(values, where=s.fields.where("sequence"))


def constraint_sequence_unique(s: ListedLayer) -> Finding | None:
    """Each layer must have a sequence number of its own."""
    if s.sequence not in s.taken:
        return None
    return Finding(f"number {s.sequence} is already used", where=s.fields.where("sequence"))


def constraint_buffer_declared(s: LayerKeys) -> Finding | None:
    """buffer_shift and buffer_insert need a rolling buffer (data_buffer)."""
    for key in ("buffer_shift", "buffer_insert"):
        if s.fields.raw(key) is not None and not s.buffers:
            return s.fields.finding(key, fix="describe it with data_buffer")
    return None


def constraint_layer_name(s: Reference) -> Finding | None:
    """Layer names must be unique; input, stop and the rolling buffer's name are reserved."""
    if s.target is not None:
        return s.fields.finding("name", f"layer {s.target} has this name", "choose another name")
    word = str(s.value).lower()
    return s.fields.finding("name", "this name is reserved", "choose another name") if word in s.names else None


def constraint_reference(s: Reference) -> Finding | None:
    """A reference to a layer must be the number or the name of a layer in the network description."""
    if s.target is not None:
        return None
    hint = nearest(s.value, list(s.names)) if isinstance(s.value, str) else ""
    return Finding(f"{s.key} = {s.value!r}: there is no such layer{hint}")


def constraint_sources_named(s: LayerKeys) -> Finding | None:
    """in_sequences must name at least one source."""
    return s.fields.finding("in_sequences", fix="remove the key") if s.fields.raw("in_sequences") == [] else None


def constraint_one_buffer(s: LayerKeys) -> Finding | None:
    """A network must have at most one rolling buffer (data_buffer)."""
    return Finding(f"{s.buffers} are given", where=s.fields.where("data_buffer")) if s.buffers > 1 else None


def constraint_item_offset(s: PlacedItem) -> Finding | None:
    """The offset of an unload item or rolling buffer must be a multiple of 4 bytes."""
    return s.fields.finding("offset") if s.item.offset % 4 else None


def constraint_item_dimensions(s: PlacedItem) -> Finding | None:
    """Rows and columns of unload items and of the rolling buffer must not exceed the limits of layers."""
    limit = s.device.dimension
    if max(s.size) <= limit:
        return None
    return s.fields.finding("dim", f"the {s.device.name} supports up to {limit}×{limit}")


def constraint_unload_width(s: PlacedItem) -> Finding | None:
    """Unloaded data must be 8 or 32 bits wide."""
    wrong = isinstance(s.item, UnloadItem) and s.item.width not in (8, 32)
    return s.fields.finding("width") if wrong else None


def constraint_unload_processors(s: PlacedItem) -> Finding | None:
    """An unload item's processors must have one bit for each channel of a pass."""
    needed, have = processors_per_pass(s.item.channels), s.item.processors.bit_count()
    if have >= needed:
        return None
    example = f"for example {(1 << needed) - 1:#018x}"
    values = f"processors = {s.item.processors:#018x} has {have} bits, {s.item.channels} channels need {needed}"
    return Finding(values, example, s.fields.where("processors"))


def constraint_unload_memory(s: PlacedItem) -> Finding | None:
    """Unloaded data must lie in the data memory of their processors (one instance for each group of four)."""
    item, size = s.item, s.device.instance_size
    width, gap = (item.width, item.write_gap) if isinstance(item, UnloadItem) else (8, 0)
    rounds, unit = passes(item.channels), width // 2
    needed = s.size[0] * s.size[1] * rounds * unit * (gap + 1)
    if item.offset + needed <= size:
        return None
    how = f"{s.size[0]}×{s.size[1]} pixels × {rounds} passes × {unit} bytes" + (f" × {gap + 1}" if gap else "")
    left = max(0, size - item.offset)
    values = f"{how} = {needed:,} bytes from offset {item.offset:#x} on, {left:,} of {size:,} are left"
    return Finding(values, "lower offset or write_gap", s.fields.where("offset"))


LISTED_RULES = (constraint_sequence_limit, constraint_sequence_unique)
PLACED_RULES = (constraint_item_offset, constraint_item_dimensions)
UNLOAD_RULES = (constraint_unload_width, *PLACED_RULES, constraint_unload_processors, constraint_unload_memory)
DESCRIPTION_RULES = (
    constraint_one_buffer,
    *LISTED_RULES,
    constraint_buffer_declared,
    constraint_layer_name,
    constraint_reference,
    constraint_sources_named,
    *UNLOAD_RULES,
)
