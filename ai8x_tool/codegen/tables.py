"""Arrays as C macros, and comments in generated files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ai8x_tool.lowering.program import Program, ProgramSample
from ai8x_tool.lowering.steps import Words, Write
from ai8x_tool.mapping.statistics import Operations, Statistics

_WORDS_PER_LINE = 8
_BYTES_PER_LINE = 16


def words_macro(values: Iterable[int]) -> str:
    """Return words as the body of a macro, eight per line."""
    return _macro([f"0x{v:08x}" for v in values], _WORDS_PER_LINE)


def bytes_macro(values: Iterable[int]) -> str:
    """Return bytes as the body of a macro, sixteen per line."""
    return _macro([f"0x{v:02x}" for v in values], _BYTES_PER_LINE)


def _macro(items: list[str], per_line: int) -> str:
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "  " + ", \\\n  ".join(lines)


def kernel_words(program: Program) -> list[int]:
    """Return all kernel blocks as one list: address, length, words …, 0."""
    words: list[int] = []
    for block in program.kernels:
        words += [block.address, len(block.words), *block.words.tolist()]
    return [*words, 0]


def answer_words(sample: ProgramSample) -> list[int]:
    """Return the known answers as one list: address, mask, length, words …, 0."""
    words: list[int] = []
    for block in sample.answers:
        words += [block.address, block.mask, len(block.values), *block.values.tolist()]
    return [*words, 0]


def register_comment(write: Write, titles: dict[str, str]) -> str:
    """Return the comment for a register write."""
    title = titles.get(write.register, write.register)
    return f"{title} ({write.note})" if write.note else title


def layer_lines(statistics: Statistics) -> list[str]:
    """Return one line of statistics per layer."""
    lines = []
    for layer in statistics.layers:
        name = f" ({layer.name})" if layer.name else ""
        shapes = f"{shape_text(layer.input_shape)} → {shape_text(layer.output_shape)}"
        lines.append(f"{layer.index:3}{name}: {shapes}, {layer.operator}")
    return lines


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as channels×rows×columns."""
    return "×".join(map(str, shape))


def _operations(operations: Operations) -> str:
    o = operations
    return (
        f"{o.total:,} ops ({o.macc:,} macc; {o.comparisons:,} comp; {o.additions:,} add; "
        f"{o.multiplications:,} mul; {o.bitwise:,} bitwise)"
    )


def statistics_lines(statistics: Statistics) -> list[str]:
    """Return the lines of the summary in generated files."""
    s = statistics
    lines = ["SUMMARY OF OPS", f"Hardware: {_operations(s.operations)}"]
    for layer in s.layers:
        name = f" ({layer.name})" if layer.name else ""
        lines.append(f"  Layer {layer.index}{name}: {_operations(layer.operations)}")
    lines += ["", "RESOURCE USAGE"]
    lines.append(_usage("Weight memory", s.weight_bytes, s.weight_total))
    lines.append(_usage("Bias memory", s.bias_bytes, s.bias_total))
    lines += ["", f"ESTIMATED TIME: {s.cycles:,} cycles, {s.microseconds:,.0f} us ({s.cycle_basis})"]
    return lines


def _usage(title: str, used: int, total: int) -> str:
    return f"{title + ':':14} {used:,} bytes out of {total:,} bytes total ({100 * used / total:.1f}%)"


def as_ints(words: Words) -> list[int]:
    """Return words as Python integers."""
    return [int(w) for w in words.tolist()]
