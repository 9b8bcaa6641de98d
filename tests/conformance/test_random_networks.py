"""Random legal networks become programs; mutated ones become programs or are refused by name. No internal errors.

The environment variable AI8X_RANDOM_NETWORKS sets how many of each are tried (default 30), AI8X_RANDOM_SEED the seed.
"""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import Phase, Verbosity, given, note, seed, settings
from hypothesis import strategies as st

from ai8x_tool.errors import Ai8xError
from tests.support.random_networks.drawn_network import DrawnNetwork
from tests.support.random_networks.features import EVERY, features
from tests.support.random_networks.mutations import mutations
from tests.support.random_networks.strategies import legal_networks
from tests.support.reference_comparison import compare_with_reference

COUNT = int(os.environ.get("AI8X_RANDOM_NETWORKS", "30"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
ENOUGH = 2000
"""From this number of networks on, every operator and mode occurs, whatever the seed."""

random_examples = settings(
    max_examples=COUNT,
    derandomize=False,
    database=None,
    deadline=None,
    print_blob=True,
    verbosity=Verbosity.normal,
    phases=[Phase.generate, Phase.shrink],
)


def announce(title):
    print(f"\n{title}: {COUNT} networks, seed {SEED} (AI8X_RANDOM_NETWORKS={COUNT} AI8X_RANDOM_SEED={SEED})")


def report(counts):
    for name, count in sorted(counts.items()):
        print(f"  {count:6} {name}")


def test_legal_networks_are_accepted():
    counts: Counter[str] = Counter()

    @seed(SEED)
    @random_examples
    @given(legal_networks())
    def accepted(net: DrawnNetwork) -> None:
        result = net.synthesize()
        assert "cnn_configure" in result.files["cnn.c"]
        compare_with_reference(result, net.sample, rounding="avg_pool_rounding" in net.options, counts=counts)
        counts.update(features(net, result))
        counts["networks"] += 1

    announce("legal networks")
    accepted()
    report(counts)
    assert counts["networks"] >= COUNT
    assert set(counts) - EVERY <= {"networks", "layers", "layers compared with the reference"}
    if COUNT >= ENOUGH:
        assert not EVERY - set(counts), "these never occurred"


def test_mutated_networks_are_accepted_or_refused():
    counts: Counter[str] = Counter()

    @seed(SEED)
    @random_examples
    @given(st.data(), legal_networks())
    def handled(data: st.DataObject, net: DrawnNetwork) -> None:
        changed = data.draw(mutations(net))
        counts["networks"] += 1
        try:
            changed.synthesize()
            counts["accepted"] += 1
        except Ai8xError as error:
            note(str(error))
            assert "\n" not in str(error)
            assert str(error).isprintable()
            counts["refused"] += 1

    announce("mutated networks")
    handled()
    report(counts)
    assert counts["networks"] >= COUNT
    assert min(counts["refused"], counts["accepted"]) > COUNT // 10
