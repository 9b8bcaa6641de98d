"""Small integer functions that the hardware's rules are written in."""

from __future__ import annotations


def lowest(value: int) -> int:
    """Index of the least significant 1 bit, −1 for 0."""
    return (value & -value).bit_length() - 1


def highest(value: int) -> int:
    """Index of the most significant 1 bit, −1 for 0."""
    return value.bit_length() - 1


def ones(value: int) -> int:
    """Number of 1 bits."""
    return value.bit_count()


def bits_of(value: int) -> list[int]:
    """Indices of the 1 bits, ascending."""
    return [i for i in range(value.bit_length()) if value >> i & 1]


def ceil4(value: int) -> int:
    """`value` rounded up to a multiple of 4."""
    return (value + 3) & ~3


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def quadrant_bits(value: int, quadrant: int) -> int:
    """The 16 bits of a processor map that belong to `quadrant`."""
    return value >> (16 * quadrant) & 0xFFFF
