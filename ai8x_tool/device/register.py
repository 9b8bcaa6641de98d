"""A register and its bit fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ai8x_tool.device.facts import Device
from ai8x_tool.errors import Ai8xError


@dataclass(frozen=True)
class Field:
    """A bit field: lowest bit, width in bits, and meaning (with the formula of its value)."""

    name: str
    lsb: int
    width: int
    meaning: str

    @property
    def mask(self) -> int:
        """Mask of the field's bits within the register."""
        return ((1 << self.width) - 1) << self.lsb


@dataclass(frozen=True)
class Register:
    """One register. `offset` is its byte offset from the quadrant's control block, for layer 0 of per-layer registers.

    `layers` is the number of hardware layers that have it; 1 if it does not belong to a layer.
    """

    name: str
    title: str
    offset: int
    layer_step: int
    layers: int
    fields: tuple[Field, ...]

    def address(self, device: Device, quadrant: int, layer: int = 0) -> int:
        """Return the absolute byte address in `quadrant` (and for hardware layer `layer`)."""
        return device.quadrant(device.addresses.control, quadrant) + self.offset + self.layer_step * layer

    def encode(self, values: Mapping[str, int], where: str | None = None) -> int:
        """Return the register's value for named field values; fields not named are 0.

        Raises Ai8xError naming the field if a value does not fit.
        """
        known = {field.name: field for field in self.fields}
        word = 0
        for name, value in values.items():
            field = known[name]
            number = int(value)
            if not 0 <= number < 1 << field.width:
                raise Ai8xError(
                    f"{self.name}.{name} = {number} does not fit its {field.width} bits ({field.meaning})", where=where
                )
            word |= number << field.lsb
        return word & 0xFFFF_FFFF

    @cached_property
    def known_bits(self) -> int:
        """Mask of all bits that belong to a field."""
        bits = 0
        for field in self.fields:
            bits |= field.mask
        return bits

    def decode(self, word: int) -> dict[str, int]:
        """Return the value of every field in `word`."""
        return {name: word >> lsb & mask for name, lsb, mask in self._layout}

    @cached_property
    def _layout(self) -> tuple[tuple[str, int, int], ...]:
        """Name, lowest bit and largest value of every field."""
        return tuple((field.name, field.lsb, (1 << field.width) - 1) for field in self.fields)
