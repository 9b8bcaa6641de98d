"""``log.txt``: the layers' statistics, and every register that the program writes, field by field."""

from __future__ import annotations

from collections.abc import Iterator

from ai8x_tool.lowering.program import Program
from ai8x_tool.lowering.steps import Step, Write
from ai8x_tool.mapping.statistics import Statistics
from ai8x_tool.text import one_line


def program_log(program: Program, figures: Statistics) -> str:
    """Return the text of the log, which depends on the program alone."""
    return "\n".join([*_statistics(program, figures), "", *_registers(program), ""])


def _statistics(program: Program, figures: Statistics) -> Iterator[str]:
    yield f"{program.mapping.device.name}, {len(figures.layers)} layers"
    for layer in figures.layers:
        shapes = f"{'×'.join(map(str, layer.input_shape))} → {'×'.join(map(str, layer.output_shape))}"
        name = one_line(layer.name or "")
        yield (
            f"layer {layer.index} {name}: {layer.operator}, {shapes}, {layer.operations.macc} MACs, "
            f"{layer.cycles} cycles, {layer.weight_bytes} bytes of weights, {layer.bias_bytes} of bias"
        )
    yield f"{figures.operations.total} operations, {figures.operations.macc} MACs"
    yield f"{figures.weight_bytes} of {figures.weight_total} bytes of kernel memory"
    yield f"{figures.bias_bytes} of {figures.bias_total} bytes of bias memory"
    yield f"{figures.cycles} cycles, {figures.microseconds:.0f} µs ({figures.cycle_basis})"


def _registers(program: Program) -> Iterator[str]:
    phases: tuple[tuple[str, tuple[Step, ...]], ...] = (
        ("initialize", program.init),
        ("configure", program.configure),
        ("start", (*program.start, *program.go)),
    )
    for title, steps in phases:
        yield f"{title}:"
        yield from (_line(step) for step in steps if isinstance(step, Write))


def _line(write: Write) -> str:
    layer = "" if write.layer is None else f"L{write.layer} "
    quadrant = "" if write.quadrant is None else f"G{write.quadrant} "
    fields = ", ".join(f"{name} = {value}" for name, value in write.fields.items() if value)
    note = f" // {write.note or fields}" if write.note or fields else ""
    return f"  {layer}{quadrant}{write.register} ({write.address:08x}): {write.value:08x}{note}"
