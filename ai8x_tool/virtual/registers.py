"""Register contents of all quadrants."""

from __future__ import annotations

from ai8x_tool.device.facts import QUADRANTS, Device
from ai8x_tool.device.registers import registers


class RegisterFile:
    """Register values by address; a register that was never written is 0.

    `revision` changes with every value outside CTL, which changes whenever a run starts or ends.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.table = registers(device)
        self.words: dict[int, int] = {}
        self.revision = 0
        self._control = {self.address("CTL", quadrant) for quadrant in range(QUADRANTS)}

    def address(self, name: str, quadrant: int, layer: int = 0) -> int:
        """Return the absolute address of a register."""
        return self.table[name].address(self.device, quadrant, layer)

    def store(self, address: int, value: int) -> None:
        """Store the word at `address`."""
        if self.words.get(address, 0) != value and address not in self._control:
            self.revision += 1
        self.words[address] = value

    def read(self, name: str, quadrant: int, layer: int = 0) -> int:
        """Return the known bits of a register; 0 if the device or the layer does not have it."""
        if name not in self.table or layer >= self.table[name].layers:
            return 0
        return self.words.get(self.address(name, quadrant, layer), 0) & self.table[name].known_bits

    def fields(self, name: str, quadrant: int, layer: int = 0) -> dict[str, int]:
        """Return the fields of a register by name; empty if the device does not have it."""
        if name not in self.table:
            return {}
        return self.table[name].decode(self.read(name, quadrant, layer))

    def running(self) -> tuple[int, ...]:
        """Return the quadrants whose run bit is set."""
        return tuple(q for q in range(QUADRANTS) if self.fields("CTL", q)["run"])

    def clear_layers(self, quadrant: int) -> None:
        """Set all layer, stream and frame registers of a quadrant to 0; control registers are kept."""
        kept = {self.address(name, quadrant) for name in ("CTL", "SRAM", "LCNT", "TEST")}
        start = self.device.quadrant(self.device.addresses.control, quadrant)
        end = self.device.quadrant(self.device.addresses.bias, quadrant)
        for address in [a for a in self.words if start <= a < end and a not in kept]:
            del self.words[address]
        self.revision += 1
