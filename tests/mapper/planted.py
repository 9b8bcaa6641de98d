"""Problems with a known solution: rectangles cut out of a strip."""

from __future__ import annotations

import random

from ai8x_tool.mapper.columns import Kernels
from ai8x_tool.mapper.offsets import Block, Group
from ai8x_tool.mapper.starts import ClassDemand, Load

COLUMNS = 768


def cut(count, width, height, generator):
    """Return `count` rectangles (left, right, bottom, top) that fill a strip: one cut after the other."""
    pieces = [(0, width, 0, height)]
    while len(pieces) < count:
        sizes = [(b - a) * (d - c) * generator.uniform(0.3, 1) for a, b, c, d in pieces]
        left, right, bottom, top = piece = pieces.pop(max(range(len(pieces)), key=sizes.__getitem__))
        if generator.random() < 0.5 and right - left > 1:
            middle = generator.randint(left + 1, right - 1)
            pieces += [(left, middle, bottom, top), (middle, right, bottom, top)]
        elif top - bottom > 1:
            middle = generator.randint(bottom + 1, top - 1)
            pieces += [(left, right, bottom, middle), (left, right, middle, top)]
        else:
            pieces.append(piece)
    return pieces


def tiling(count, words, seed):
    """Return values that fill `words` words of data memory at every step, and live at least one."""
    generator = random.Random(seed)
    pieces = cut(count, count, words, generator)
    generator.shuffle(pieces)
    blocks = [Block(1, 0, top - bottom - 1, left, right - 1) for left, right, bottom, top in pieces]
    return [Group(f"value{number}", (block,)) for number, block in enumerate(blocks)]


def kernel_strip(count, share, seed):
    """Return kernels, and what their classes need, that fill this share of kernel memory if they start well."""
    pieces = cut(count, 16, int(COLUMNS // 4 * share), random.Random(seed))
    pieces.sort(key=lambda piece: (piece[1] - piece[0] < 16, piece[2]))
    kernels, demands = [], []
    for number, (left, right, bottom, top) in enumerate(pieces):
        columns, lanes = 4 * (top - bottom), tuple(range(4 * (right - left)))
        kernels.append(Kernels(number, tuple(range(right - left)), columns))
        demands.append(ClassDemand(len(lanes), (Load(lanes, columns),)))
    return kernels, demands
