"""Figures of a run with damaged inputs: how many were done, how many refused, the longest time, the most memory."""

from __future__ import annotations

import resource
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

MOST_SECONDS = 20


def most_memory():
    """Return the most MiB that this process, or one that it started, has taken."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


@dataclass
class Figures:
    """Counts by kind, and the slowest input."""

    counts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    longest: float = 0.0
    slowest: str = ""
    memory: float = 0.0
    largest: str = ""

    @contextmanager
    def measured(self, kind, what):
        """Count an input; the block says, by the list it gets, whether it was refused. Raises if it takes too long."""
        started, refused = time.monotonic(), []
        yield refused
        seconds = time.monotonic() - started
        self.counts[kind, bool(refused)] += 1
        if seconds > self.longest:
            self.longest, self.slowest = seconds, what
        memory = most_memory()
        if memory > self.memory:
            self.memory, self.largest = memory, what
        assert seconds < MOST_SECONDS, what

    def lines(self):
        """Return the figures as text."""
        for kind in sorted({kind for kind, _ in self.counts}):
            yield f"{kind}: {self.counts[kind, False]} done, {self.counts[kind, True]} refused"
        done, refused = (sum(n for (_, was), n in self.counts.items() if was is wanted) for wanted in (False, True))
        yield f"{done + refused} inputs, {done} done, {refused} refused; the longest took {self.longest:.1f} s"
        yield f"the slowest: {self.slowest:.200}"
        yield f"most memory {self.memory:.0f} MiB, after {self.largest:.200}"


FIGURES = Figures()
