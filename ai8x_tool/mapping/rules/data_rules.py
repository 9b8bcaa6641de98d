"""Rules about data that must not be overwritten, and about reading data from where they were written."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS_PER_INSTANCE
from ai8x_tool.mapping.placed import PlacedLayer
from ai8x_tool.mapping.reads import WrongRead
from ai8x_tool.rule import Finding


class Extent(NamedTuple):
    """Bytes `first` … `last` in data memories `instances` (a mask) that a layer reads, writes or uses as buffer."""

    at: PlacedLayer
    first: int
    last: int
    instances: int = 0

    def __str__(self) -> str:
        """The range, for messages."""
        return f"{self.first:#x} … {self.last:#x}"

    def meets(self, other: Extent) -> bool:
        """Return whether both ranges share a byte."""
        return bool(self.instances & other.instances) and self.first <= other.last and other.first <= self.last


class ExtentPair(NamedTuple):
    """An extent of a layer and another one that it must not overlap."""

    device: Device
    one: Extent
    other: Extent

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.one.at.where


class DeviceExtent(NamedTuple):
    """An extent and the device whose memory must contain it."""

    device: Device
    one: Extent

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.one.at.where


class Overwriting(NamedTuple):
    """A layer's `output` overwrites a word at `offset` of `instance` that contains `victim` (None: no data).

    `why` is a clause that states who still needs the data; `free` is an offset at which the output would overwrite no
    data, None if it is not known. `what` names the data that overwrite if they are not an output.
    """

    output: Extent
    victim: str | None = None
    why: str = ""
    instance: int = 0
    offset: int = 0
    free: int | None = None
    what: str = "the output"

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.output.at.where


class Kept(NamedTuple):
    """A layer whose output the host reads at the end; `streams_on`: into the next layer."""

    at: PlacedLayer
    streams_on: bool

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.at.where


class BufferUse(NamedTuple):
    """A layer that shifts the rolling buffer `name` or inserts into it, and the place that it must write."""

    at: PlacedLayer
    name: str
    processors: int
    offset: int
    channels: int

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.at.where


class Trailing(NamedTuple):
    """A layer's `output` that overwrites its own input, `victim`: each word only after its last read.

    `before`: the input was written by the layer executed before, or by the host. `allowed`: the options allow overlaps.
    """

    output: Extent
    victim: str
    before: bool
    allowed: bool

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.output.at.where


class CheckedReading(NamedTuple):
    """A layer and the channel that it reads from a wrong place, if there is one."""

    at: PlacedLayer
    wrong: WrongRead | None

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.at.where


def constraint_buffer_output(s: ExtentPair) -> Finding | None:
    """A streaming layer's output must not overlap its own rolling buffer if both use a common processor."""
    buffer, output = s.one, s.other
    if buffer.first < output.first:
        values = f"the rolling buffer {buffer} reaches the output at {output.first:#x}"
        return Finding(values, f"raise out_offset above {buffer.last:#x}") if buffer.last >= output.first else None
    values = f"the output {output} reaches the rolling buffer at {buffer.first:#x}"
    return Finding(values, "lower out_offset or raise in_offset") if output.last >= buffer.first else None


def constraint_buffer_memory(s: DeviceExtent) -> Finding | None:
    """A rolling buffer must lie in data memory."""
    size = s.device.instance_size
    if s.one.last < size:
        return None
    return Finding(f"the rolling buffer {s.one} exceeds data memory ({size:#x})", "lower in_offset")


def constraint_buffers_apart(s: ExtentPair) -> Finding | None:
    """The rolling buffers of streaming layers must not overlap."""
    if not s.one.meets(s.other):
        return None
    values = f"the rolling buffer {s.one} overlaps that of {s.other.at.layer.label} ({s.other})"
    return Finding(values, "move in_offset, or use other processors")


def constraint_buffers_readahead(s: ExtentPair) -> Finding | None:
    """With readahead, the rolling buffers of streaming layers must begin in different memory blocks of 16 KiB."""
    block = s.device.sub_instance_size
    if not s.one.at.readahead or s.one.first // block != s.other.first // block:
        return None
    values = f"its rolling buffer begins at {s.one.first:#x}, that of {s.other.at.layer.label} at {s.other.first:#x}"
    return Finding(values, "move in_offset")


def constraint_stream_output(s: ExtentPair) -> Finding | None:
    """The output of the last streaming layer must not overlap any rolling buffer."""
    if not s.one.meets(s.other):
        return None
    values = f"the output {s.one} overlaps the rolling buffer {s.other} of {s.other.at.layer.label}"
    return Finding(values, "move out_offset")


def constraint_output_memory(s: DeviceExtent) -> Finding | None:
    """Every word of an output, including the gaps, must lie in data memory."""
    limit = s.device.instance_size
    if s.one.last < limit:
        return None
    return Finding(f"the output {s.one} exceeds data memory ({limit:#x})", "lower out_offset or write_gap")


def constraint_input_memory(s: DeviceExtent) -> Finding | None:
    """Every word of an input, including the gaps, must lie in data memory."""
    limit = s.device.instance_size
    if s.one.last < limit:
        return None
    return Finding(f"the input {s.one} exceeds data memory ({limit:#x})", "lower in_offset or read_gap")


def constraint_reads_source(s: CheckedReading) -> Finding | None:
    """A layer must read each channel from where it was written."""
    wrong = s.wrong
    if wrong is None:
        return None
    values = f"channel {wrong.channel} of {wrong.label} is read from {wrong.reads}, but {wrong.lies}"
    if not wrong.lies.startswith("it"):
        values = f"channel {wrong.channel} of {wrong.label} lies at {wrong.lies}, but is read from {wrong.reads}"
    return Finding(values, "check processors, in_offset, out_offset and the gaps of both layers")


def constraint_overwriting(s: Overwriting) -> Finding | None:
    """An output must overwrite neither itself nor data that a layer or the host still reads."""
    if s.victim is None:
        return None
    first = PROCESSORS_PER_INSTANCE * s.instance
    values = (
        f"{s.what} overwrites {s.victim} {s.why}: offset {s.offset:#x} in the data memory of processors "
        f"{first} … {first + PROCESSORS_PER_INSTANCE - 1}; it occupies {s.output} there"
    )
    choice = "choose another offset" if s.what != "the output" else "choose another out_offset"
    return Finding(values, choice if s.free is None else f"out_offset: {s.free:#x} is free for it")


def constraint_output_kept(s: Kept) -> Finding | None:
    """An output must be kept in data memory: its layer must not stream into the next one."""
    return Finding("the next layer streams", "end streaming here, or unload another layer") if s.streams_on else None


def constraint_buffer_use(s: BufferUse) -> Finding | None:
    """A layer that shifts the rolling buffer, or inserts into it, must write to its place, channel by channel."""
    if s.at.layer.channels_out != s.channels:
        return Finding(f"{s.at.layer.channels_out} channels, {s.name} has {s.channels}")
    if (s.at.output_map, s.at.out_offset, s.at.write_gap) == (s.processors, s.offset, 0):
        return None
    values = f"out_offset = {s.at.out_offset:#x}, output map {s.at.output_map:#018x}, write_gap = {s.at.write_gap}"
    return Finding(values, f"out_offset: {s.offset:#x}, output_processors: {s.processors:#018x}")


def constraint_trailing_overlap(s: Trailing) -> Finding | None:
    """A trailing overlap with the output of the previous layer needs --overlap-data."""
    if not s.before or s.allowed:
        return None
    values = f"the output {s.output} overwrites {s.victim} that the layer has already read"
    return Finding(values, "choose another out_offset, or use --overlap-data if this is intended")


def hint_overlapping_tail(s: Trailing) -> Finding | None:
    """A trailing overlap: the output overwrites input of the same layer that has already been read."""
    return Finding(f"the output {s.output} overwrites {s.victim}")


DATA_RULES = (
    constraint_buffer_output,
    constraint_buffer_memory,
    constraint_buffers_apart,
    constraint_buffers_readahead,
    constraint_stream_output,
    constraint_output_memory,
    constraint_input_memory,
    constraint_reads_source,
    constraint_overwriting,
    constraint_output_kept,
    constraint_buffer_use,
    constraint_trailing_overlap,
    hint_overlapping_tail,
)
