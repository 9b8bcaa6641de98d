"""Shared part of models that halve rows and columns three times and double them again. Not a model by itself."""

from __future__ import annotations

MULTIPLE = 8
"""Of which rows and columns are multiples: they are halved three times."""


def require_whole_levels(name: str, dimensions: tuple[int, int]) -> None:
    """Raise ValueError if the rows and columns of the model's inputs cannot be halved three times."""
    if any(size % MULTIPLE for size in dimensions):
        raise ValueError(f"{name} requires rows and columns that are multiples of {MULTIPLE}")
