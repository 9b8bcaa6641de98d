"""Whatever bit of a program changes: somebody notices, or there is a proof that nobody can.

AI8X_MUTATIONS sets how many changes are tried (default 300), AI8X_RANDOM_SEED the seed.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

from tests.support.golden_cases import golden_folder
from tests.support.program_mutations import Mutation, Program
from tests.support.program_stores import golden_stores

pytestmark = pytest.mark.golden

COUNT = int(os.environ.get("AI8X_MUTATIONS", "300"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
CASES = (
    *("max78000/flatten-fc-quant4", "max78000/eltwisesub", "max78000/conv1d-pool-9-q1", "max78000/passthrough-2"),
    *("max78000/upsample-nonsquare-pad2A", "max78000/fifostream-pool-stride-hwc__fastfifo"),
    *("max78002/depthwise3x4x4-move", "max78002/conv1d-6", "max78002/conv2d-pooldilation", "max78002/snoop-stop"),
    *("max78000/widein-bias-q2", "max78002/depthwise-nopool-d", "max78002/fifostream-pool-stride-hwc__fifo"),
)


def describe(mutation):
    value = int(mutation.program.stores.values[mutation.index])
    address = int(mutation.program.stores.addresses[mutation.index])
    return f"{mutation.name}, layer {mutation.layer}: bit {mutation.bit} of {value:#x} at {address:#x}"


def test_every_change_is_noticed_or_explained(golden):
    print(f"seed {SEED}")
    generator = np.random.default_rng(SEED)
    programs = {name: Program(*golden_stores(golden_folder() / "accept" / name)[:2]) for name in CASES}
    noticed, explained, failed = 0, Counter(), []
    for number in range(COUNT):
        name = CASES[number % len(CASES)]
        mutation = Mutation(programs[name], *programs[name].choose(generator))
        if mutation.noticed:
            noticed += 1
            continue
        reason = mutation.explain()
        if reason is None:
            failed.append(f"{name}: {describe(mutation)}")
        explained[mutation.name, reason] += 1
    for (what, reason), count in sorted(explained.items(), key=str):
        print(f"{count:4} {'.'.join(what):24} {reason}")
    assert failed == [], failed
    assert noticed > 0.6 * COUNT
