"""Tables at the end of ``ai8x run``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from ai8x_tool.emulation import ProjectRun
from ai8x_tool.firmware.result import MemoryUse
from ai8x_tool.report.columns import Column, Table, table_of
from ai8x_tool.text import one_line

_CORES = {"arm": "Cortex-M4", "riscv": "RISC-V"}
_MEMORY = ("code", "constants", "data", "zeroed", "stack", "flash", "SRAM")


def phase_table(result: ProjectRun) -> Table:
    """Return a table of instructions and accelerator accesses by phase."""
    phases = result.run.phases
    rows = [(phase.name, f"{phase.instructions:,}", f"{phase.stores:,}", f"{phase.loads:,}") for phase in phases]
    stores, loads = (sum(getattr(phase, name) for phase in phases) for name in ("stores", "loads"))
    rows.append(("total", f"{result.run.instructions:,}", f"{stores:,}", f"{loads:,}"))
    title = f"{_CORES[result.run.memory[0].core]} instructions ({result.firmware.compiler}, -O2)"
    return table_of(("phase", "instructions", "stores", "loads"), rows, title=title)


def memory_table(result: ProjectRun) -> Table:
    """Return a table of the flash and SRAM that the program uses, with one column for each core."""
    uses = result.run.memory
    columns = [Column("bytes", _MEMORY, right=False), *map(_memory_column, uses)]
    return Table(tuple(columns), f"{result.firmware.device.name} memory")


def _memory_column(use: MemoryUse) -> Column:
    sizes = use.sizes
    numbers = (sizes.code, sizes.constants, sizes.data, sizes.zero, use.stack)
    flash, sram = (sizes.flash, use.flash_size), (sizes.static + use.stack, use.sram_size)
    texts = tuple(f"{number:,}" for number in numbers)
    long, short = (
        tuple(f"{used:,}{of.format(size)} ({100 * used / size:.1f} %)" for used, size in (flash, sram))
        for of in (" of {:,}", "")
    )
    return Column(_CORES[use.core], texts + long, short=texts + short)


def output_lines(result: ProjectRun) -> list[str]:
    """Return one line for each input file: its class or, if there are no class names, the shapes of its outputs."""
    lines: list[str] = []
    for path, numbers in groupby(range(len(result.inputs)), key=lambda number: result.inputs[number]):
        lines += _file_lines(result, str(path), list(numbers))
    return lines


def _file_lines(result: ProjectRun, path: str, numbers: list[int]) -> Iterator[str]:
    """Yield the line of a file, whose samples `numbers` may be windows of it."""
    answer = result.answers.get(result.inputs[numbers[0]])
    if answer is not None:
        yield f"{path}: {answer}"
        return
    names = Counter(name for name in map(result.found_class, numbers) if name is not None)
    if names:
        (name, count), *_ = names.most_common(1)
        windows = f" ({count} of {len(numbers)} windows)" if len(numbers) > 1 else ""
        score = sum(result.scores[number] for number in numbers) / len(numbers) if result.scores else 0.0
        scored = f", anomaly score {score:.5f} (limit {result.limit:.5f})" if result.scores else ""
        yield f"{path}: {one_line(name)}{windows}{scored}"
        return
    for number in numbers:
        outputs = result.outputs[number]
        shapes = ", ".join("×".join(map(str, output.shape)) for output in outputs)
        largest = f", largest: {int(outputs[0].argmax())}" if _is_list(outputs[0].shape) else ""
        yield f"{path}: output {shapes}{largest}"


def _is_list(shape: tuple[int, ...]) -> bool:
    return shape[0] > 1 and shape[1:] == (1, 1)
