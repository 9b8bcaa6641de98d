"""Programs of random legal networks: the virtual device computes what the integer engine does, and reports no errors.

AI8X_RANDOM_NETWORKS sets how many are tried (default 30), AI8X_RANDOM_SEED the seed.
"""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import Phase, given, seed, settings

from ai8x_tool.synthesis.hardware_check import check_program
from tests.support.random_networks.drawn_network import DrawnNetwork
from tests.support.random_networks.strategies import legal_networks
from tests.support.warned_networks import warned

COUNT = int(os.environ.get("AI8X_RANDOM_NETWORKS", "30"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))

KNOWN = ("starts after", "powered down")
"""A frame shorter than what the first streaming layer waits for, as in programs of the reference; outputs that nothing
reads in a quadrant that --powerdown switches off."""


def test_engine_and_virtual_device_agree():
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(max_examples=COUNT, database=None, deadline=None, print_blob=True, phases=[Phase.generate])
    @given(legal_networks())
    def agree(net: DrawnNetwork) -> None:
        result = net.synthesize()
        check = check_program(result.program, result.program_sample, result.tensors)
        quad = "fast_fifo_quad" in net.options and not net.device.depthwise  # the MAX78000 has no such mode
        if quad or warned(result.mapping.placed):
            counts["warned"] += 1
            return
        assert check.equal, check.text()
        errors = [str(d) for d in check.problems if d.severity == "error" and not any(k in d.message for k in KNOWN)]
        assert not errors, errors
        counts["equal"] += 1

    print(f"\n{COUNT} networks, seed {SEED} (AI8X_RANDOM_NETWORKS={COUNT} AI8X_RANDOM_SEED={SEED})")
    agree()
    print(dict(counts))
    assert counts["equal"] > 0.7 * COUNT
