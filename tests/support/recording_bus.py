"""An accelerator that computes nothing: it records stores, and answers as if the network were done at once."""

from __future__ import annotations

DONE = 1 << 12
CLEARED = 1 << 25


class RecordingBus:
    """`memory` is {address: word}, what the network is supposed to leave. With `never`, it never finishes."""

    def __init__(self, device, memory=(), *, never=False):
        self.stores = []
        self.memory = dict(memory)
        self._never = never
        self._control = device.base + device.addresses.control
        self._stride = device.addresses.quadrant_stride
        self._words = {}

    def _is_control(self, address):
        return address >= self._control and (address - self._control) % self._stride == 0

    def write(self, address, value, size):
        self.stores.append((address, value, size))
        if self._is_control(address):
            started = value & 1 and address == self._control and not self._words.get(address, 0) & DONE
            self._words[address] = value | (DONE if started and not self._never else 0)

    def read(self, address, size):
        if self._is_control(address):
            return self._words.get(address, 0)
        if (address - self._control) % self._stride == 0xC:
            return CLEARED  # the test register: memories are clear
        return self.memory.get(address, 0)

    @property
    def interrupt(self):
        return any(word & DONE for word in self._words.values())
