"""Placements in which something lies elsewhere: judge, replay and an execution in order agree on what is wrong.

AI8X_RANDOM_PLACEMENTS sets how many moved ones are tried (default 60; twice as many scattered ones), AI8X_RANDOM_SEED
where their numbers begin.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np

from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import violations
from ai8x_tool.mapping.replay import replay
from tests.support.random_placements import differences, moved, numbered_placement, scattered

COUNT = int(os.environ.get("AI8X_RANDOM_PLACEMENTS", "60"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
EXECUTED = 1 if COUNT >= 1000 else 3
"""One of so many accepted placements is executed."""


def legal_ones(first):
    """Yield (number, legal placement), without end."""
    number = SEED + first
    while True:
        legal = numbered_placement(number)
        if legal is not None:
            yield number, legal
        number += 1


def conflicts(placed):
    """Return what the replay sees; None if the placement cannot be mapped at all."""
    try:
        mapping = placed.mapping()
    except Ai8xError:
        return None
    return [conflict.text() for conflict in replay(mapping)]


def judge(number, placed, counts, *, execute):
    """Compare judge and replay; execute what is accepted now and then."""
    found = violations(*placed.judged)
    seen = conflicts(placed)
    if seen is None:
        assert found, (number, "refused, but no violation")
        counts["refused by rules"] += 1
        return
    counts[f"{'conflict' if seen else 'no conflict'}, {'refused' if found else 'accepted'}"] += 1
    assert not seen or found, (number, seen)
    if execute and not found:
        counts["executed in order"] += 1
        assert differences(placed) == [], number


def report(title, counts):
    print(f"\n{title}, numbers from {SEED} on (AI8X_RANDOM_PLACEMENTS={COUNT} AI8X_RANDOM_SEED={SEED})")
    print(dict(counts))


def test_moved_placements():
    """Whatever the replay sees, the judge refuses; what is legal, neither objects to."""
    counts: Counter[str] = Counter()
    for number, legal in legal_ones(0):
        if counts["moved"] >= COUNT:
            break
        assert [str(violation) for violation in violations(*legal.judged)] == [], number
        assert conflicts(legal) == [], number
        counts["legal"] += 1
        generator = np.random.default_rng([number, 1])
        for _ in range(4):
            placed = moved(legal, generator)
            if placed is not None:
                counts["moved"] += 1
                judge(number, placed, counts, execute=False)
    report("moved placements", counts)
    assert counts["conflict, refused"] > 0.2 * COUNT
    assert counts["no conflict, accepted"] > 0.2 * COUNT


def test_scattered_placements():
    """What the judge accepts is right when layers read and write in order."""
    counts: Counter[str] = Counter()
    for number, legal in legal_ones(100_000):
        if counts["scattered"] >= 2 * COUNT:
            break
        generator = np.random.default_rng([number, 2])
        for turn in range(4):
            counts["scattered"] += 1
            judge(number, scattered(legal, generator), counts, execute=turn % EXECUTED == 0)
    report("scattered placements", counts)
    assert counts["executed in order"]
