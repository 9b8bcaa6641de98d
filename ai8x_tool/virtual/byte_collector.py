"""The byte collector: a port that returns one byte lane of four pixels as a word."""

from __future__ import annotations

from ai8x_tool.device.facts import Device
from ai8x_tool.virtual.data_memory import DataMemory
from ai8x_tool.virtual.registers import RegisterFile

_BYTES = 4


class ByteCollector:
    """Positions of the collectors of all quadrants. The first load after enabling a collector returns no data."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._pixels: dict[int, int] = {}

    def control(self, quadrant: int, *, before: int, after: int) -> None:
        """Record a change of the quadrant's enable bit."""
        if after and not before:
            self._pixels[quadrant] = -_BYTES

    def load(self, quadrant: int, registers: RegisterFile, memory: DataMemory) -> int:
        """Return the next word of `quadrant`, with the first pixel in the lowest bits."""
        control = registers.fields("CTL", quadrant)
        first = self._pixels.get(quadrant, -_BYTES)
        if not control["mlator"]:
            return 0
        self._pixels[quadrant] = first + _BYTES
        if first < 0:
            return 0
        shift = self.device.write_instance_shift
        pointer = registers.read("WPTR", quadrant, 0)
        instance = 4 * quadrant + (pointer >> shift) % 4
        step = registers.fields("LCTL2", quadrant, 0)["write_increment"] + 1
        start = pointer & ((1 << shift) - 1)
        word = 0
        for i in range(_BYTES):
            place = start + (first + i) * step
            if place < memory.size:
                word |= (int(memory.lanes[instance, place, control["mlator_lane"]]) & 0xFF) << 8 * i
        return word
