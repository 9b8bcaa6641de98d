"""Rules about kernel and bias memory, checked during allocation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ai8x_tool.device.facts import COLUMN_BYTES, PARALLEL_OUTPUTS
from ai8x_tool.network.layer import Layer
from ai8x_tool.rule import Finding

_NARROWER = (4, 2, 1)


class UsedQuadrants(NamedTuple):
    """The quadrants with processors of any layer."""

    where: str
    quadrants: tuple[int, ...]


class StoredLayer(NamedTuple):
    """A layer whose kernels are stored in passes. `block` outputs are stored together in quad mode; 1 otherwise."""

    layer: Layer
    passes: int
    inputs_per_pass: int
    calcx4: bool = False
    block: int = 1

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.layer.where


class KernelSpace(NamedTuple):
    """The `length` columns that a layer needs in each of `processors`, at `offset` (None: no place was found).

    They hold `kernels` kernels of `area` weights. By processor: `reserved` columns, as 1 bits, and `sizes` in columns.
    """

    where: str
    processors: Sequence[int]
    length: int
    kernels: int
    area: int
    bits: int
    offset: int | None
    reserved: Sequence[int]
    sizes: Sequence[int]

    def free(self) -> tuple[int, int]:
        """Return the free columns of the fullest processor, and its size."""
        return min((self.sizes[p] - self.reserved[p].bit_count(), self.sizes[p]) for p in self.processors)

    def longest_run(self) -> int:
        """Return the number of consecutive columns that are free in all processors."""
        used, size = 0, min(self.sizes[p] for p in self.processors)
        for processor in self.processors:
            used |= self.reserved[processor]
        return max(len(run) for run in f"{used & (1 << size) - 1:0{size}b}".split("1"))


class KernelColumns(NamedTuple):
    """A column of a processor that a layer is about to fill although it contains kernels of layer `owner`."""

    where: str
    processor: int
    column: int
    owner: int


class ParallelColumns(NamedTuple):
    """Columns that a layer with calcx4 needs in one processor, and those that are available there."""

    where: str
    processor: int
    needed: int
    limit: int


class BiasSpace(NamedTuple):
    """Bias values of a layer: `length` bytes with padding in `quadrant`; `fills` are the bytes used by quadrant."""

    where: str
    values: int
    length: int
    quadrant: int
    fills: tuple[int, ...]
    size: int


def constraint_quadrant_0(s: UsedQuadrants) -> Finding | None:
    """The network must use a processor of quadrant 0 (0 … 15), which controls the other quadrants."""
    if 0 in s.quadrants:
        return None
    values = f"no layer uses a processor of quadrant 0, but quadrants {', '.join(map(str, s.quadrants))} are used"
    return Finding(values, "move at least one layer there")


def constraint_even_passes(s: StoredLayer) -> Finding | None:
    """With flatten, more than 64 channels must be divided evenly among passes of a multiple of 4 processors."""
    channels = s.layer.channels_in
    if not s.layer.flatten or channels == s.passes * s.inputs_per_pass:
        return None
    values = f"flatten: {channels} channels cannot be divided evenly among {s.passes} passes"
    return Finding(values, f"for example {s.passes * s.inputs_per_pass} channels")


def constraint_calcx4_outputs(s: StoredLayer) -> Finding | None:
    """calcx4 needs a multiple of 4 output channels."""
    count = s.layer.channels_out
    if not s.calcx4 or count % PARALLEL_OUTPUTS == 0:
        return None
    return Finding(f"{count} output channels", "remove calcx4")


def constraint_quad_outputs(s: StoredLayer) -> Finding | None:
    """Quad mode needs output channels that fill whole bytes of weights in all four quadrants."""
    count = s.layer.channels_out
    if count % s.block == 0:
        return None
    return Finding(f"{abs(s.layer.bits)}-bit weights need a multiple of {s.block} output channels, not {count}")


def constraint_kernel_memory(s: KernelSpace) -> Finding | None:
    """The kernels of all layers must fit the kernel memories of their processors, which hold columns of 9 bytes."""
    if s.offset is not None and s.offset + s.length <= s.sizes[s.processors[-1]]:
        return None
    (free, total), run = s.free(), s.longest_run()
    values = (
        f"kernel memory exhausted: the layer needs {s.length} columns of {COLUMN_BYTES} bytes in each of its "
        f"{len(s.processors)} processors ({s.kernels} kernels × {s.area} weights × {s.bits} bits); {free} of {total} "
        f"are free in the fullest one, {run} consecutive ones in all of them"
    )
    narrower = [bits for bits in _NARROWER if bits < s.bits and -(-s.length * bits // s.bits) <= run]
    fix = f"{narrower[0]}-bit weights would fit; or use" if narrower else "use fewer weight bits,"
    return Finding(values, f"{fix} fewer channels or kernels, or spread layers over other processors")


def constraint_kernel_conflict(s: KernelColumns) -> Finding | None:
    """A column of kernel memory must hold the kernels of a single layer."""
    values = (
        f"kernel memory conflict: columns of processor {s.processor} from {s.column} on already hold kernels of layer "
        f"{s.owner}"
    )
    fix = "give one of the two layers another processor map, or output_processors that start at a multiple of 4"
    return Finding(values, fix)


def constraint_calcx4_memory(s: ParallelColumns) -> Finding | None:
    """The kernels of a layer with calcx4 must lie in the ordinary kernel memory, 4096 columns."""
    if s.needed <= s.limit:
        return None
    values = (
        f"calcx4 kernels do not fit the ordinary kernel memory: {s.needed} columns of processor {s.processor} are "
        f"needed, {s.limit} are left"
    )
    return Finding(values, "remove calcx4, or use fewer weight bits")


def constraint_bias_memory(s: BiasSpace) -> Finding | None:
    """The biases of all layers must fit the bias memories of their quadrants, one byte for each value."""
    fill = s.fills[s.quadrant]
    if fill + s.length <= s.size:
        return None
    padding = f" and {s.length - s.values} for alignment" if s.length > s.values else ""
    left = ", ".join(f"{q}: {max(0, s.size - f)}" for q, f in enumerate(s.fills))
    values = (
        f"bias memory exhausted: {s.length} bytes ({s.values} values{padding}) are needed, {max(0, s.size - fill)} of "
        f"{s.size} are left in quadrant {s.quadrant} (by quadrant {left})"
    )
    return Finding(values, "allow other quadrants with bias_group, or train without bias")


STORED_RULES = (constraint_even_passes, constraint_calcx4_outputs, constraint_quad_outputs)
MEMORY_RULES = (
    constraint_quadrant_0,
    *STORED_RULES,
    constraint_kernel_memory,
    constraint_calcx4_memory,
    constraint_kernel_conflict,
    constraint_bias_memory,
)
