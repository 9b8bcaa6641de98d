"""Stores to the accelerator's address space, in program order: the hardware's view of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Stores:
    """Equally long arrays: byte addresses (uint32), values (uint32) and sizes in bytes (uint8: 1 or 4)."""

    addresses: npt.NDArray[np.uint32]
    values: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.addresses)

    @classmethod
    def of(cls, addresses: Any, values: Any, sizes: Any) -> Stores:
        """Return stores made of array-likes of one dimension and equal length."""
        return cls(np.asarray(addresses, np.uint32), np.asarray(values, np.uint32), np.asarray(sizes, np.uint8))

    @classmethod
    def join(cls, parts: Sequence[Stores]) -> Stores:
        """Return the concatenation of `parts`."""
        if not parts:
            return cls.of([], [], [])
        columns = zip(*((part.addresses, part.values, part.sizes) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))
