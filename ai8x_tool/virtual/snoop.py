"""Conditional execution: two units that watch what layers write (MAX78002)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.distinct import distinct
from ai8x_tool.virtual.data_memory import DataMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.registers import RegisterFile
from ai8x_tool.virtual.write_side import Written

Array = npt.NDArray[Any]

_ADDRESS = (1 << 21) - 1
_SET = 1 << 21
_EXACT, _RANGE = 8, 6
_COUNTED = 0x62555
_UNITS = (1, 2)


@dataclass(frozen=True)
class Verdict:
    """Decision of the units after a layer: stop the run; take (True), prevent (False) or allow (None) the jump."""

    stop: bool
    jump: bool | None


def snoop(
    registers: RegisterFile,
    layer: int,
    master: int,
    written: Written,
    memory: DataMemory,
    pointer_shift: int,
    diagnostics: Diagnostics,
) -> Verdict:
    """Return the decision of both units on the words that hardware layer `layer` wrote; update the result registers."""
    stop, jump = False, None
    for unit in _UNITS:
        control = registers.read(f"SNP{unit}_C1", master)
        if not control & 1:
            continue
        counted = control >> 12 == _COUNTED
        if counted:
            text = "the count limits X1 and X2 are not modeled: the unit does not stop the run"
            diagnostics.report("note", text, quadrant=master, register=f"SNP{unit}_C1")
        hits = np.zeros((0, 2), np.int64)
        if registers.read(f"SNP{unit}_C2", master) & 0xFF == layer:
            hits = _hits(registers, unit, master, written, memory, pointer_shift, diagnostics)
        _record(registers, unit, master, control, hits)
        stop |= bool(control & 2) and len(hits) > 0 and not counted
        if control & 4:
            jump = bool(jump) or len(hits) > 0
    return Verdict(stop, jump)


def _hits(
    registers: RegisterFile,
    unit: int,
    master: int,
    written: Written,
    memory: DataMemory,
    pointer_shift: int,
    diagnostics: Diagnostics,
) -> Array:
    """Return (address, data) of the words that match a unit's condition, in ascending order of address."""
    first, last, low, high, mode = (
        registers.read(f"SNP{unit}_{name}", master) for name in ("A1", "A2", "D1", "D2", "C1")
    )
    shape = np.broadcast_shapes(written.instance.shape, written.word.shape)
    instance, word = np.broadcast_to(written.instance, shape), np.broadcast_to(written.word, shape)
    address = distinct((instance << pointer_shift) + word)
    values = memory.load_words(address >> pointer_shift, address & ((1 << pointer_shift) - 1)).astype(np.int64)
    if mode >> 28 == _EXACT:
        hit = (address == first & _ADDRESS) & (values == low)
    elif mode >> 28 == _RANGE:
        values = values >> 24
        hit = (address >= first & _ADDRESS) & (address <= last & _ADDRESS) & (values >= low) & (values <= high)
    else:
        text = f"mode {mode >> 28} is not modeled"
        diagnostics.report("warning", text, quadrant=master, register=f"SNP{unit}_C1")
        return np.zeros((0, 2), np.int64)
    return np.stack([address[hit], values[hit]], axis=1)


def _record(registers: RegisterFile, unit: int, master: int, control: int, hits: Array) -> None:
    """Update the registers ACC, HIT, MAX and AM of a unit."""
    names = {name: registers.address(f"SNP{unit}_{name}", master) for name in ("ACC", "HIT", "MAX", "AM")}
    words = registers.words
    for address, data in hits.tolist():
        if control & 8:
            words[names["ACC"]] = (words.get(names["ACC"], 0) + data) & 0xFFFF_FFFF
        if control & 16:
            words[names["HIT"]] = words.get(names["HIT"], 0) + 1
        if control & 32 and data > words.get(names["MAX"], 0):
            words[names["MAX"]], words[names["AM"]] = data, address | _SET
