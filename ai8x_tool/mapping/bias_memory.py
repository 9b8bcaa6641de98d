"""Placement of bias values in the quadrants' bias memories."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.device import Device
from ai8x_tool.device.bits import bit_indices, ceil4, highest_bit, lowest_bit, quadrant_bits
from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, QUADRANTS
from ai8x_tool.mapping.rules.memory_rules import BiasSpace, constraint_bias_memory
from ai8x_tool.network.layer import IntArray
from ai8x_tool.rule import require


@dataclass(frozen=True)
class BiasPlacement:
    """The quadrant that holds a layer's bias (None: all quadrants in `offsets`), and the offsets by quadrant."""

    quadrant: int | None
    offsets: dict[int, int]


@dataclass(frozen=True, eq=False)
class BiasRequest:
    """The bias of one layer; its storage is shared with an equal bias only if the values are `known`."""

    index: int
    where: str
    values: IntArray
    processors: int
    output_map: int
    output_passes: int
    allowed: tuple[int, ...]
    depthwise: bool = False
    broadcast: bool = False
    quad: bool = False
    flatten: bool = False
    calcx4: bool = False
    spare: int = 0
    known: bool = True

    @property
    def content(self) -> tuple[object, ...]:
        """Key of layers that can share storage: they have equal values and read them from the same places."""
        layout: tuple[object, ...] = self.quad, self.calcx4, self.lead, self.spare
        if self.depthwise:
            layout = self.processors, self.output_passes, self.broadcast
        return self.depthwise, layout, self.values.tobytes()

    @property
    def bound_to_processors(self) -> bool:
        """True if the values must lie in the quadrants of the layer's processors."""
        return self.depthwise or self.quad

    @property
    def lead(self) -> int:
        """Bytes before the values, for outputs that do not start at a multiple of four."""
        return lowest_bit(self.output_map) % 4 * self.output_passes

    @property
    def length(self) -> int:
        """Bytes that the layer occupies in one quadrant."""
        return len(self.values) + self.lead + self.spare


class BiasMemory:
    """The bias memories of all quadrants during allocation."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.content: list[list[int | None]] = [[] for _ in range(QUADRANTS)]

    def place_all(self, requests: list[BiasRequest]) -> dict[int, BiasPlacement]:
        """Return the placement of each layer, by index; biases bound to processors come first, then others by size.

        Raises Ai8xError if the space does not suffice.
        """
        placed: dict[int, BiasPlacement] = {}
        originals: list[BiasRequest] = []
        copies: dict[int, int] = {}
        known: dict[tuple[object, ...], int] = {}
        for request in requests:
            original = known.setdefault(request.content, request.index) if request.known else request.index
            if original == request.index:
                originals.append(request)
            else:
                copies[request.index] = original
        for request in originals:
            if request.bound_to_processors:
                placed[request.index] = self._place_bound(request)
        for request in sorted((r for r in originals if not r.bound_to_processors), key=self._priority):
            placed[request.index] = self._place_free(request)
        return placed | {index: replace(placed[source]) for index, source in copies.items()}

    def bytes(self) -> dict[int, list[int]]:
        """Return the bytes (0…255) of each quadrant that is not empty."""
        return {q: [(v or 0) & 0xFF for v in values] for q, values in enumerate(self.content) if values}

    def _priority(self, request: BiasRequest) -> int:
        if self.device.flatten_bias_first and request.flatten:
            return -1
        return 0 if len(request.allowed) == 1 else self.device.bias_size - request.length

    def _place_free(self, request: BiasRequest) -> BiasPlacement:
        def level(quadrant: int) -> int:
            fill = len(self.content[quadrant])
            return ceil4(fill) if request.calcx4 else fill

        quadrant = min(request.allowed, key=level)
        offset = level(quadrant)
        fills = [len(values) for values in self.content]
        fills[quadrant] = offset
        self._require_space(request, quadrant, request.length, fills)
        values = self.content[quadrant]
        values += [None] * (offset - len(values) + request.lead + request.spare)
        values += request.values.tolist()
        return BiasPlacement(quadrant, dict.fromkeys(range(QUADRANTS), offset))

    def _place_bound(self, request: BiasRequest) -> BiasPlacement:
        offsets = {}
        for quadrant in range(QUADRANTS):
            if quadrant_bits(request.processors, quadrant):
                values = self.content[quadrant]
                if request.broadcast:
                    values += [None] * (ceil4(len(values)) - len(values))
                offsets[quadrant] = len(values)
        fills = [len(values) for values in self.content]
        if request.quad:
            for i, value in enumerate(request.values.tolist()):
                self.content[i % QUADRANTS].append(value)
        else:
            self._append_depthwise(request)
        for quadrant, values in enumerate(self.content):
            self._require_space(request, quadrant, len(values) - fills[quadrant], fills)
        return BiasPlacement(None, offsets)

    def _append_depthwise(self, request: BiasRequest) -> None:
        used = request.processors
        quadrants = [q for q in range(QUADRANTS) if quadrant_bits(used, q)]
        if not request.broadcast:
            used = _shift_first_quadrant(used)
        low, high = lowest_bit(used), highest_bit(used)
        if request.broadcast:
            high |= PROCESSORS_PER_QUADRANT - 1
        if request.broadcast or len(quadrants) > 1:
            low = 0
        for row in _rows(request, used, low, high):
            for processor in range(low, high + 1):
                source = _broadcast_order(processor) if request.broadcast else processor
                value = row[source - low] if source - low < len(row) else None
                self.content[processor // PROCESSORS_PER_QUADRANT].append(value)
        last = self.content[high // PROCESSORS_PER_QUADRANT]
        while last and last[-1] is None:
            last.pop()

    def _require_space(self, request: BiasRequest, quadrant: int, length: int, fills: list[int]) -> None:
        values = min(length, len(request.values))
        space = BiasSpace(request.where, values, length, quadrant, tuple(fills), self.device.bias_size)
        require(constraint_bias_memory, space)


def _shift_first_quadrant(processors: int) -> int:
    """Return the map with the bits of the lowest used quadrant moved down to that quadrant's first processor."""
    first = lowest_bit(processors)
    start = first // PROCESSORS_PER_QUADRANT * PROCESSORS_PER_QUADRANT
    mask = 0xFFFF << start
    moved = (processors & mask) >> (first - start) & mask
    return processors & ~mask | moved


def _rows(request: BiasRequest, used: int, low: int, high: int) -> list[list[int | None]]:
    """Return the bias as one row per pass, with None for unused processors in low…high."""
    per_row = request.processors.bit_count()
    values: list[int | None] = [int(v) for v in request.values]
    values += [None] * (request.output_passes * per_row - len(values))
    rows = [values[i * per_row : (i + 1) * per_row] for i in range(request.output_passes)]
    missing = sorted(set(range(low, high + 1)) - set(bit_indices(used)))
    for row in rows:
        for processor in missing:
            row.insert(processor, None)
    return rows


def _broadcast_order(processor: int) -> int:
    inside = processor % PROCESSORS_PER_QUADRANT
    return processor - inside + inside % 4 * 4 + inside // 4
