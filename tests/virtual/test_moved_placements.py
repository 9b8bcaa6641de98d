"""Placements in which something lies elsewhere than it should: what is wrong is reported, and nothing else.

Each layer's report on its own input is compared with an execution in order; the whole program with a replay that labels
every byte of data memory. AI8X_RANDOM_NETWORKS sets how many networks are tried (default 40), AI8X_RANDOM_SEED the
seed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, seed, settings

from ai8x_tool.errors import Ai8xError
from ai8x_tool.synthesis.hardware_check import check_program, compare_run
from tests.support.label_replay import Replay
from tests.support.moved_placements import lively, moved_placements, unjudged
from tests.support.random_networks.strategies import legal_networks
from tests.support.reference_order import check_report, end_is_seen, execute
from tests.support.warned_networks import warned

COUNT = int(os.environ.get("AI8X_RANDOM_NETWORKS", "40"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
SAMPLES = 4
"""Other data may by chance give the same results; so many samples do not."""
LARGE = 20_000
"""Input values of layers that are too large for an execution in order."""
OURS = ("of the input bytes that", "of the state", "rolling buffer", "destroyed")
"""Words of the reports on data that are lost."""


def folded(layer):
    """Whether a widely dilated 1D convolution runs on reshaped data."""
    return layer.operator == "conv1d" and layer.dilation[0] * (layer.kernel[0] - 1) >= 9


def in_order_of_layers(result, virtual, snapshots, counts):
    """Compare each layer's report with its execution in order; return {hardware layer: severity or None}."""
    layers, severities = {m.hardware_index: m.layer for m in result.program.mapping.layers}, {}
    for snapshot in snapshots:
        run = snapshot.run
        window = run.layer.geometry.window[0] * run.layer.geometry.window[1]
        if snapshot.before is None or streams(virtual, run.layer) or not run.work.input.size:
            continue
        if said(virtual, run.layer, "outside data memory", ("warning", "error")):
            continue
        if run.work.input.size * window * run.layer.operation.operands > LARGE:
            counts["layers too large"] += 1
            continue
        layer = layers.get(run.layer.index)
        pixels = None
        if layer is not None and folded(layer):
            if run.layer.chw or said(virtual, run.layer, "never written"):
                continue  # the end of the data cannot be seen inside a word, and not where there are none
            pixels = layer.in_size[0] * layer.in_size[1]
            if not end_is_seen(snapshot, pixels):
                continue
        severities[run.layer.index] = check_report(virtual, snapshot, pixels)
        counts[f"layers: {severities[run.layer.index]}"] += 1
    return severities


def said(virtual, layer, words, severities=("note", "warning", "error")):
    """Whether the device reported something on a layer with these words."""
    return any(d.layer == layer.index and d.severity in severities and words in d.message for d in virtual.diagnostics)


def streams(virtual, layer):
    registers, master = virtual._machine.registers, layer.quadrants[0]
    if not registers.fields("CTL", master)["stream"]:
        return False
    return layer.index == 0 or registers.read("STR1", master, layer.index) != 0


def rings(result, virtual):
    """Return {layer: set of (instance, word)} of the rolling buffers."""
    found = {}
    for at in result.placed.layers:
        if at.streaming:
            hardware = result.program.mapping[at.layer.index].hardware_index
            words = virtual._machine.registers.read("FMAX", 0, hardware)
            first = at.input_offset // 4
            instances = {p // 4 for p in range(64) if at.processors >> p & 1}
            found[at.layer.index] = {(i, w) for i in instances for w in range(first, first + words)}
    return found


def replayable(net, placed):
    """Whether the replay knows all that the network does."""
    strange = "snoop" in net.content or "fast_fifo_quad" in net.options or net.options.get("start_layer")
    return not strange and not warned(placed) and not any(folded(layer) for layer in placed.network.layers)


def examine(net, counts):
    """Make the program, execute and compare; return (comparison, what the replay sees, reports on lost data).

    Reports on a layer's own input are compared here, with an execution in order.
    """
    counts["tried"] += 1
    try:
        result = unjudged(net)
    except Ai8xError:
        counts["refused by a rule"] += 1
        return None
    virtual, snapshots = execute(net.device, result.program.stores(result.sample))
    severities = in_order_of_layers(result, virtual, snapshots, counts)
    check = compare_run(result.program, result.tensors, virtual)
    leaves = any("outside data memory" in d.message or "is read up to" in d.message for d in check.diagnostics)
    if leaves or not replayable(net, result.placed):
        counts["not replayed"] += 1
        return None
    conflicts = Replay(result.placed, result.order, rings(result, virtual)).conflicts
    found = [d for d in check.problems if any(word in d.message for word in OURS)]
    alarmed = not {"error", "warning"}.isdisjoint(severities.values())
    counts["conflicts"] += bool(conflicts or alarmed)
    return check, conflicts, found


def run_examples(strategy, verdict):
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(max_examples=COUNT, database=None, deadline=None, print_blob=True, phases=[Phase.generate])
    @given(strategy)
    def example(net):
        outcome = examine(net, counts)
        if outcome is not None:
            verdict(net, outcome, counts)

    print(f"\n{COUNT} networks, seed {SEED} (AI8X_RANDOM_NETWORKS={COUNT} AI8X_RANDOM_SEED={SEED})")
    example()
    print(dict(counts))
    return counts


def judge(net, outcome, counts):
    check, conflicts, found = outcome
    if conflicts:
        counts["replay sees a conflict"] += 1
        others = [replace(net, seed=net.seed + n) for n in range(SAMPLES)]
        if not any(noticed(other) for other in others):
            dead = all(constant(other, conflicts) for other in others)
            counts["unnoticed, nothing to see" if dead else "unnoticed"] += 1
        return
    assert found == [], [str(d) for d in found]
    lost = [layer for layer in check.layers if layer.different and layer.first.lost]
    assert lost == [], [layer.text() for layer in lost]


def noticed(net):
    """Whether the device reports something, or the comparison finds a difference."""
    result = unjudged(net)
    check = check_program(result.program, result.sample, result.tensors)
    return not check.equal or bool(check.problems)


def constant(net, conflicts):
    """Whether every layer that finds other data than it should gives the same value everywhere.

    A layer may read what an older one wrote. That it should not is seen in its results only.
    """
    outputs = unjudged(net).tensors.outputs
    wrong = {int(index) for text in conflicts for index in re.findall(r"^input of layer (\d+)", text)}
    return bool(wrong) and all(np.ptp(outputs[index]) == 0 for index in wrong)


@pytest.mark.slow
def test_moved_placements():
    """What is wrong is reported, or gives other results; but layers that are 0 everywhere stay so with any data."""
    counts = run_examples(moved_placements(), judge)
    assert counts["replay sees a conflict"] > 0.1 * COUNT
    assert counts["unnoticed"] == 0
    assert counts["unnoticed, nothing to see"] <= 0.1 * counts["replay sees a conflict"]
    assert counts["layers: error"]
    assert counts["layers: note"]


@pytest.mark.slow
def test_legal_placements():
    counts = run_examples(legal_networks().map(lively), judge)
    assert counts["conflicts"] == 0
    assert counts["layers: None"] > COUNT
