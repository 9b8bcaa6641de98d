"""The tables that ``ai8x run`` ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

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
    """Return one line for each file: its class or, where names are not known, the shapes of its outputs."""
    lines: list[str] = []
    for path, numbers in groupby(range(len(result.inputs)), key=lambda number: result.inputs[number]):
        lines += _file_lines(result, str(path), list(numbers))
    return lines


def _file_lines(result: ProjectRun, path: str, numbers: list[int]) -> Iterator[str]:
    """Yield the line of a file, of which each of some samples may have been a window."""
    names = Counter(name for name in map(result.found_class, numbers) if name is not None)
    if names:
        (name, count), *_ = names.most_common(1)
        windows = f" ({count} of {len(numbers)} windows)" if len(numbers) > 1 else ""
        score = sum(result.scores[number] for number in numbers) / len(numbers) if result.scores else 0.0
        scored = f", anomaly score {score:.5f} (limit {result.limit:.5f})" if result.scores else ""
        yield f"{path}: {name}{windows}{scored}"
        return
    for number in numbers:
        outputs = result.outputs[number]
        shapes = ", ".join("×".join(map(str, output.shape)) for output in outputs)
        largest = f", largest: {int(outputs[0].argmax())}" if outputs[0].shape[1:] == (1, 1) else ""
        yield f"{path}: output {shapes}{largest}"


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table
