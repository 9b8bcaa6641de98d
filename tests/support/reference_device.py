"""Reading data memory and pooling with plain loops: what the virtual device does with arrays."""

from __future__ import annotations

from functools import reduce

import numpy as np

OPERATORS = {"sub": lambda a, b: a - b, "add": lambda a, b: a + b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b}


def place(layer, pointer, processor, y, x, e, k):
    """Return (instance, word, lane) of an input value."""
    geometry = layer.geometry
    pixel = y * geometry.columns + x
    if layer.chw:
        return processor // 4, (4 * pointer + pixel) // 4, pixel % 4
    word = pointer + pixel * geometry.pitch + e * layer.operation.operands + k
    return processor // 4, word, processor % 4


def window(layer, i, j):
    """Return the input pixels that pooled pixel (i, j) is made of."""
    g = layer.geometry
    if not layer.operation.pool:
        return [(i * g.stride, j * g.stride)]
    rows = [i * g.stride + u * g.dilation[0] for u in range(g.window[0])]
    return [(y, j * g.stride + v * g.dilation[1]) for y in rows for v in range(g.window[1])]


def clamp(value):
    return max(-128, min(127, value))


def pool(layer, values):
    if not layer.operation.pool:
        return values[0]
    if layer.operation.maximum:
        return max(values)
    total, count = sum(values), len(values)
    size = (2 * abs(total) + count) // (2 * count) if layer.operation.rounding else abs(total) // count
    return size if total >= 0 else -size


def pooled(layer, read, i, j):
    """Return pooled pixel (i, j); `read(y, x, k)` gives raw input values of operand k."""
    operation, pixels = layer.operation, window(layer, i, j)
    operator = OPERATORS[operation.function]
    operands = range(operation.operands)
    if operation.pool and not operation.pool_first:
        return pool(layer, [clamp(reduce(operator, [read(y, x, k) for k in operands])) for y, x in pixels])
    each = [pool(layer, [read(y, x, k) for y, x in pixels]) for k in operands]
    return clamp(reduce(operator, each))


def places_read(layer, pointer):
    """Return {(instance, word, lane): [(rank, pass, i, j), …]} of all input bytes and the pooled pixels they enter."""
    found = {}
    for rank, processor in enumerate(layer.processors.tolist()):
        for e, i, j in np.ndindex(layer.passes, *layer.geometry.pooled):
            for y, x in window(layer, i, j):
                for k in range(layer.operation.operands):
                    at = place(layer, pointer, processor, y, x, e, k)
                    found.setdefault(at, []).append((rank, e, i, j))
    return found
