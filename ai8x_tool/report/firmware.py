"""The tables that ``ai8x run`` ends with."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ai8x_tool.emulation import ProjectRun
from ai8x_tool.firmware.result import MemoryUse

_CORES = {"arm": "Cortex-M4", "riscv": "RISC-V"}


def phase_table(result: ProjectRun) -> Table:
    """Return instructions and accelerator accesses by phase."""
    table = _table(f"{_CORES[result.run.memory[0].core]} instructions ({result.firmware.compiler}, -O2)", "phase")
    for title in ("instructions", "stores", "loads"):
        table.add_column(title, justify="right")
    for phase in result.run.phases:
        table.add_row(phase.name, f"{phase.instructions:,}", f"{phase.stores:,}", f"{phase.loads:,}")
    table.add_section()
    stores, loads = (sum(getattr(phase, name) for phase in result.run.phases) for name in ("stores", "loads"))
    table.add_row("total", f"{result.run.instructions:,}", f"{stores:,}", f"{loads:,}")
    return table


def memory_table(result: ProjectRun) -> Table:
    """Return what the program takes of flash and SRAM."""
    table = _table(f"{result.firmware.device.name} memory, bytes", "core")
    for title in ("code", "constants", "data", "zeroed", "stack", "flash", "of", "SRAM", "of"):
        table.add_column(title, justify="right")
    for use in result.run.memory:
        table.add_row(*_memory_row(use))
    return table


def _memory_row(use: MemoryUse) -> list[str]:
    sizes = use.sizes
    numbers = (sizes.code, sizes.constants, sizes.data, sizes.zero, use.stack)
    flash, sram = (sizes.flash, use.flash_size), (sizes.static + use.stack, use.sram_size)
    shares = [text for used, size in (flash, sram) for text in (f"{used:,}", f"{size:,} ({100 * used / size:.1f} %)")]
    return [_CORES[use.core], *(f"{number:,}" for number in numbers), *shares]


def output_lines(result: ProjectRun) -> list[str]:
    """Return one line for each further sample: the shapes of its outputs, and the largest value's channel."""
    lines = []
    for path, outputs in zip(result.inputs, result.outputs, strict=True):
        shapes = ", ".join("×".join(map(str, output.shape)) for output in outputs)
        largest = f", largest: {int(outputs[0].argmax())}" if outputs[0].shape[1:] == (1, 1) else ""
        lines.append(f"{path}: output {shapes}{largest}")
    return lines


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table
