"""Integer functions used by the formulas of the hardware."""

from __future__ import annotations


def lowest_bit(value: int) -> int:
    """Return the index of the least significant 1 bit, −1 for 0."""
    return (value & -value).bit_length() - 1


def highest_bit(value: int) -> int:
    """Return the index of the most significant 1 bit, −1 for 0."""
    return value.bit_length() - 1


def bit_indices(value: int) -> list[int]:
    """Return the indices of the 1 bits, ascending."""
    return [i for i in range(value.bit_length()) if value >> i & 1]


def ceil4(value: int) -> int:
    """Return `value` rounded up to a multiple of 4."""
    return (value + 3) & ~3


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def quadrant_bits(value: int, quadrant: int) -> int:
    """Return the 16 bits of a processor map that belong to `quadrant`."""
    return value >> (16 * quadrant) & 0xFFFF
