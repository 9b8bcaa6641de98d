"""The bus between a program and the accelerator."""

from __future__ import annotations

from typing import Protocol


class Bus(Protocol):
    """The accelerator as a program sees it: from 0x5000_0000, and the fast FIFO's registers from 0x400C_0400."""

    def read(self, address: int, size: int) -> int:
        """Return `size` bytes (1, 2 or 4) at `address`."""

    def write(self, address: int, value: int, size: int) -> None:
        """Store `size` bytes (1, 2 or 4) at `address`."""

    @property
    def interrupt(self) -> bool:
        """Whether the completion interrupt is pending."""
