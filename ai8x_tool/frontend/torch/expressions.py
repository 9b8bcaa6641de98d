"""Expressions for the input of a layer, independent of the division of operations among layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Pair

Expression = tuple["Part", ...]
"""Parts that are joined along the channels (or pixels)."""


@dataclass(frozen=True)
class Pooled:
    """The pooled part `of`; `how` describes the pooling for messages."""

    how: str
    of: Part


@dataclass(frozen=True)
class Combined:
    """Element-wise combination of `operands`, which are sorted if their order does not matter."""

    function: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Arranged:
    """The part `of` with pixels in another arrangement: cropped, then reshaped to `size`."""

    size: Pair
    crop: Pair
    of: Part


Part = str | Pooled | Combined | Arranged


def read(layer: Layer, values: Mapping[str, Expression]) -> Expression:
    """Return the input of the operator of `layer`; `values` are the outputs of the preceding layers, by name."""
    operands = [_source(source, values) for source in layer.inputs]
    if layer.eltwise is None or len(operands) == 1:
        return _pool(layer, _arranged(layer, joined(operands)))
    operands = [_arranged(layer, operand) for operand in operands]
    if layer.pool_first:
        return (_combined(layer.eltwise, [_pool(layer, operand) for operand in operands]),)
    return _pool(layer, (_combined(layer.eltwise, operands),))


def joined(operands: Iterable[Expression]) -> Expression:
    """Return the parts of all operands."""
    return tuple(part for operand in operands for part in operand)


def _source(source: object, values: Mapping[str, Expression]) -> Expression:
    if source is INPUT:
        return ("the input",)
    return ("the rolling buffer",) if source is BUFFER else values[str(source)]


def _combined(function: str, operands: list[Expression]) -> Combined:
    first = operands[:1] if function == "sub" else []
    return Combined(function, (*first, *sorted(operands[len(first) :], key=repr)))


def _arranged(layer: Layer, expression: Expression) -> Expression:
    return tuple(_arranged_part(layer, part) for part in expression) if any(layer.in_crop) else expression


def _arranged_part(layer: Layer, part: Part) -> Part:
    return Arranged(layer.in_size, layer.in_crop, part)


def _pool(layer: Layer, expression: Expression) -> Expression:
    how = pooling_text(layer)
    return tuple(Pooled(how, part) for part in expression) if how else expression


def pooling_text(layer: Layer) -> str:
    """Return a description of the pooling of a layer; an empty text if there is none."""
    if not layer.has_pool and max(layer.pool_stride) == 1:
        return ""
    flat = layer.in_size[1] == 1
    size, stride, dilation = (
        str(pair[0]) if flat or pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"
        for pair in (layer.pool, layer.pool_stride, layer.pool_dilation)
    )
    kind = "every value" if not layer.has_pool else f"{'average' if layer.pool_average else 'max'} pooling {size}"
    return f"{kind}, stride {stride}" + (f", dilation {dilation}" if max(layer.pool_dilation) > 1 else "")


def pooled(expression: Expression) -> tuple[Expression, str]:
    """Return the expression before pooling, and the pooling: an empty text if its parts are not pooled alike."""
    ways = {part.how if isinstance(part, Pooled) else "" for part in expression}
    if len(ways) != 1 or ways == {""}:
        return expression, ""
    return tuple(part.of for part in expression if isinstance(part, Pooled)), ways.pop()


def text(expression: Expression) -> str:
    """Return the expression as text for messages."""
    parts = [_part_text(part) for part in expression]
    return parts[0] if len(parts) == 1 else f"cat({', '.join(parts)})"


def _part_text(part: Part) -> str:
    if isinstance(part, Pooled):
        return f"{part.how} of {_part_text(part.of)}"
    if isinstance(part, Combined):
        return f"{part.function}({', '.join(text(operand) for operand in part.operands)})"
    if isinstance(part, Arranged):
        return f"{_part_text(part.of)} without {part.crop[0]} rows before and {part.crop[1]} after"
    return part
