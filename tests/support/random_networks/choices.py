"""Many small choices from one drawn value."""

from __future__ import annotations

from hypothesis import strategies as st

_LENGTH = 1200


class Choices:
    """Choices read one after the other from bytes; zeros, and what lies behind the end, stand for the first choice.

    A network takes hundreds of choices. Drawn one by one they would be slow, and most examples would be copies of
    others, because hypothesis likes to repeat draws of the same kind. As one value they shrink just as well.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self, low: int, high: int) -> int:
        """Return an integer within low…high."""
        taken = self._data[self._position : self._position + 2]
        self._position += 2
        return low + int.from_bytes(taken, "big") % (high - low + 1)

    def pick(self, values):
        """Return one of `values`."""
        return values[self.number(0, len(values) - 1)]


def choices():
    """Return the strategy."""
    return st.binary(min_size=_LENGTH, max_size=_LENGTH).map(Choices)
