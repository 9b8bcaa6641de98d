"""QR codes of short texts: versions 1 to 4, error correction L, mask 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DATA_BYTES, CHECK_BYTES = (19, 34, 55, 80), (7, 10, 15, 20)
"""Sizes by version, from 1."""
_FIELD = 0x11D
_BYTES, _PADDING = 0b0100, (0xEC, 0x11)
LONGEST = DATA_BYTES[-1] - 2
_FORMAT = 0b01000  # level L, mask 0


def qr_code(text: str) -> NDArray[np.bool_]:
    """Return a mask of the dark modules (rows, columns). Raises ValueError for texts longer than 78 bytes."""
    content = text.encode()
    if len(content) > LONGEST:
        raise ValueError(f"{len(content)} bytes are too many for a QR code of version 4")
    version = next(number for number, size in enumerate(DATA_BYTES, start=1) if len(content) + 2 <= size)
    data = _data_bytes(content, DATA_BYTES[version - 1])
    bits = np.unpackbits(np.array([*data, *check_bytes(data, CHECK_BYTES[version - 1])], np.uint8)).astype(bool)
    dark, fixed = _patterns(version)
    places = np.array(_data_places(fixed))
    kept = places[: len(bits)]
    values = np.zeros(len(places), bool)
    values[: len(kept)] = bits
    dark[places[:, 0], places[:, 1]] = values ^ (places.sum(axis=1) % 2 == 0)
    return dark


def _data_bytes(content: bytes, size: int) -> list[int]:
    """Return mode, length and content, padded to `size` bytes."""
    bits = f"{_BYTES:04b}{len(content):08b}" + "".join(f"{byte:08b}" for byte in content)
    bits += "0000"[: 8 * size - len(bits)]
    bits += "0" * (-len(bits) % 8)
    found = [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]
    return found + [_PADDING[number % 2] for number in range(size - len(found))]


def _multiplied(one: int, other: int) -> int:
    product = 0
    for bit in range(7, -1, -1):
        product = (product << 1) ^ (product >> 7) * _FIELD
        product ^= (other >> bit & 1) * one
    return product


def check_bytes(data: list[int], count: int) -> list[int]:
    """Return the Reed-Solomon error-correction bytes for the data."""
    generator, root = [1], 1
    for _ in range(count):
        product = [*generator, 0]
        for place, factor in enumerate(generator):
            product[place + 1] ^= _multiplied(factor, root)
        generator, root = product, _multiplied(root, 2)
    rest = [0] * count
    for byte in data:
        factor = byte ^ rest[0]
        rest = [*rest[1:], 0]
        rest = [value ^ _multiplied(part, factor) for value, part in zip(rest, generator[1:], strict=True)]
    return rest


def format_bits() -> int:
    """Return the 15 format bits for level and mask."""
    rest = _FORMAT
    for _ in range(10):
        rest = (rest << 1) ^ (rest >> 9) * 0x537
    return (_FORMAT << 10 | rest) ^ 0x5412


def _patterns(version: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the fixed patterns, and a mask of the modules that they occupy."""
    size = 4 * version + 17
    dark, fixed = np.zeros((size, size), bool), np.zeros((size, size), bool)
    dark[6, ::2] = dark[::2, 6] = True
    fixed[6] = fixed[:, 6] = True
    for row, column in ((3, 3), (3, size - 4), (size - 4, 3)):
        _square(dark, fixed, row, column, 4)
    if version > 1:
        _square(dark, fixed, size - 7, size - 7, 2)
    for number in range(15):
        value = bool(format_bits() >> number & 1)
        first = (number, 8) if number < 6 else ((7, 8), (8, 8), (8, 7))[number - 6] if number < 9 else (8, 14 - number)
        second = (8, size - 1 - number) if number < 8 else (size - 15 + number, 8)
        for place in (first, second):
            dark[place], fixed[place] = value, True
    dark[size - 8, 8] = fixed[size - 8, 8] = True
    return dark, fixed


def _square(dark: NDArray[np.bool_], fixed: NDArray[np.bool_], row: int, column: int, reach: int) -> None:
    """Draw rings around a module: all dark except for the second and the fourth, which is the margin of a corner."""
    size = len(dark)
    for down in range(max(0, row - reach), min(size, row + reach + 1)):
        for right in range(max(0, column - reach), min(size, column + reach + 1)):
            ring = max(abs(down - row), abs(right - column))
            dark[down, right] = ring not in ((2, 4) if reach > 2 else (1,))
            fixed[down, right] = True


def _data_places(fixed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the free modules in the order of the data: pairs of columns from the right, alternately up and down."""
    size, found, upwards = len(fixed), [], True
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        for row in range(size - 1, -1, -1) if upwards else range(size):
            found += [(row, column) for column in (right, right - 1) if not fixed[row, column]]
        upwards = not upwards
    return found
