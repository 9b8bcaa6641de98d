"""Rules about data that must not overwrite other data. spec: memory, 8.2 and 8.3; network-yaml, 5.3 and 5.4."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE
from ai8x_tool.network.network import Layer
from ai8x_tool.rule import Finding


class Extent(NamedTuple):
    """Bytes `first` … `last` in the data memories `instances` that a layer writes, or uses as rolling buffer."""

    layer: Layer
    first: int
    last: int
    instances: frozenset[int] = frozenset()

    def __str__(self) -> str:
        """The range, for messages."""
        return f"{self.first:#x} … {self.last:#x}"

    def meets(self, other: Extent) -> bool:
        """True if both share a byte."""
        return bool(self.instances & other.instances) and self.first <= other.last and other.first <= self.last


class Neighbours(NamedTuple):
    """An extent of a layer, and another one that it must keep clear of."""

    device: Device
    one: Extent
    other: Extent

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.one.layer.where


class Placed(NamedTuple):
    """An extent alone."""

    device: Device
    one: Extent

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.one.layer.where


class Overwriting(NamedTuple):
    """A layer's `output` overwrites a word at `offset` of `instance` that holds `victim` (None: nothing does).

    `why` says why that matters; `free` is an offset at which the output would overwrite nothing, None if unknown.
    """

    output: Extent
    victim: str | None = None
    why: str = ""
    instance: int = 0
    offset: int = 0
    free: int | None = None

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.output.layer.where


def constraint_buffer_output(s: Neighbours) -> Finding | None:
    """A streaming layer's output keeps clear of its own rolling buffer, if both use a processor in common."""
    buffer, output = s.one, s.other
    if buffer.first < output.first:
        values = f"the rolling buffer {buffer} reaches the output at {output.first:#x}"
        return Finding(values, f"raise out_offset above {buffer.last:#x}") if buffer.last >= output.first else None
    values = f"the output {output} reaches the rolling buffer at {buffer.first:#x}"
    return Finding(values, "lower out_offset or raise in_offset") if output.last >= buffer.first else None


def constraint_buffer_memory(s: Placed) -> Finding | None:
    """A rolling buffer lies in data memory."""
    size = s.device.instance_size
    if s.one.last < size:
        return None
    return Finding(f"the rolling buffer {s.one} leaves data memory ({size:#x})", "lower in_offset")


def constraint_buffers_apart(s: Neighbours) -> Finding | None:
    """The rolling buffers of streaming layers do not overlap."""
    if not s.one.meets(s.other):
        return None
    values = f"the rolling buffer {s.one} overlaps that of {s.other.layer.label} ({s.other})"
    return Finding(values, "move in_offset, or use other processors")


def constraint_buffers_readahead(s: Neighbours) -> Finding | None:
    """With readahead, the rolling buffers of streaming layers begin in different memory blocks of 16 KiB."""
    block = s.device.sub_instance_size
    if not s.one.layer.readahead or s.one.first // block != s.other.first // block:
        return None
    values = f"its rolling buffer begins at {s.one.first:#x}, that of {s.other.layer.label} at {s.other.first:#x}"
    return Finding(values, "move in_offset")


def constraint_stream_output(s: Neighbours) -> Finding | None:
    """The output of the last streaming layer keeps clear of all rolling buffers."""
    if not s.one.meets(s.other):
        return None
    values = f"the output {s.one} overlaps the rolling buffer {s.other} of {s.other.layer.label}"
    return Finding(values, "move out_offset")


def constraint_output_memory(s: Placed) -> Finding | None:
    """Every word of an output, with the gaps between, lies in data memory."""
    limit = s.device.instance_size
    if s.one.last < limit:
        return None
    return Finding(f"the output {s.one} lies beyond data memory ({limit:#x})", "lower out_offset or write_gap")


def constraint_overwriting(s: Overwriting) -> Finding | None:
    """An output overwrites neither itself nor data that a layer or the host still reads."""
    if s.victim is None:
        return None
    first = PROCESSORS_PER_INSTANCE * s.instance
    values = (
        f"the output overwrites {s.victim} {s.why}: offset {s.offset:#x} in the data memory of processors "
        f"{first} … {first + PROCESSORS_PER_INSTANCE - 1}; it takes {s.output} there"
    )
    choice = "choose another out_offset" if s.free is None else f"out_offset: {s.free:#x} is free for it"
    return Finding(values, f"{choice}, or --overlap-data if this is meant")


DATA_RULES = (
    constraint_buffer_output,
    constraint_buffer_memory,
    constraint_buffers_apart,
    constraint_buffers_readahead,
    constraint_stream_output,
    constraint_output_memory,
    constraint_overwriting,
)
