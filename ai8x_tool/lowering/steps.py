"""The steps of a program, and the blocks of data that it loads or compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Words = npt.NDArray[Any]


@dataclass(frozen=True)
class Write:
    """A 32-bit store to a register. `layer` is the layer of the network, None for registers of a whole quadrant."""

    address: int
    value: int
    register: str
    quadrant: int | None = None
    layer: int | None = None
    fields: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Wait:
    """Wait until a bit of `mask` is set at `address`; fail if a bit of `error` is set."""

    address: int
    mask: int
    error: int = 0


@dataclass(frozen=True)
class ClearTram:
    """Clear `size` bytes of a processor's TRAM."""

    address: int
    size: int


Step = Write | Wait | ClearTram


@dataclass(frozen=True, eq=False)
class KernelBlock:
    """Consecutive kernel columns of one processor, as loaded: destination address and data words."""

    address: int
    words: Words


@dataclass(frozen=True, eq=False)
class InputBlock:
    """Input words for data memory at `address`, or for FIFO number `name` (address 0)."""

    name: int
    address: int
    words: Words


@dataclass(frozen=True, eq=False)
class AnswerBlock:
    """Expected values of consecutive words of data memory after the run, compared under `mask`."""

    address: int
    mask: int
    values: Words
