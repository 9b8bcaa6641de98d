"""Cases that take turns: those that are slow and alike are tried on different days."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def in_turn(cases: Iterable[T], parts: int) -> list[T]:
    """Return one of `parts` parts of `cases`, another one every day; all of them with --all-golden.

    AI8X_ZOO_SEED, the number of the day, chooses another day's part.
    """
    listed = list(cases)
    if os.environ.get("AI8X_EVERY_CASE"):
        return listed
    return listed[int(os.environ["AI8X_ZOO_SEED"]) % parts :: parts]
