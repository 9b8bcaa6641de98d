"""Results that are kept from run to run."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Revised(Protocol):
    """Contents that can change; `revision` differs after every change."""

    revision: int


class Memo:
    """Results that follow from `sources` alone: they are computed again only after these have changed.

    A program sets registers, kernels and biases once, and then runs many samples.
    """

    def __init__(self, *sources: Revised) -> None:
        self._sources = sources
        self._revisions: tuple[int, ...] = ()
        self._results: dict[Hashable, Any] = {}

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the result called `key`; `compute` it if there is none."""
        revisions = tuple(source.revision for source in self._sources)
        if revisions != self._revisions:
            self._results.clear()
            self._revisions = revisions
        if key not in self._results:
            self._results[key] = compute()
        result: T = self._results[key]
        return result
