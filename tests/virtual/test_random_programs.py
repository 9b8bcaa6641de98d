"""Programs of random networks: the virtual device agrees with the integer engine, and finds nothing to report.

AI8X_RANDOM_NETWORKS sets how many are tried (default 60), AI8X_RANDOM_SEED the first seed.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from networks import QUIET, build, program
from program_stores import stores_of
from random_networks import random_network

from ai8x_tool.errors import Ai8xError
from ai8x_tool.virtual import VirtualDevice

COUNT = int(os.environ.get("AI8X_RANDOM_NETWORKS", "60"))
FIRST = int(os.environ.get("AI8X_RANDOM_SEED", "0"))


def lowered(net):
    """Return the program of a random network, None where kernel or bias memory is too small."""
    network = build(net.layers, net.weights, net.sample_shape, net.device, console=QUIET)
    try:
        return program(network, sample=net.sample)
    except Ai8xError as error:
        if "memory exhausted" in str(error):
            return None
        raise


def incomplete_pass(channels):
    passes = -(-channels // 64)
    return passes > 1 and channels != passes * -(-channels // passes // 4) * 4


def known_defect(net):
    """Networks whose stores, equal to the reference generator's, do not compute what the network says.

    Kernels of less than 8 bits with an incomplete last pass (spec: execution, section 13.7), and zeros between the taps
    of a dilated kernel whose weights can only be +1 and −1.
    """
    takers = [layer for layer in net.layers if layer["op"].startswith("Conv")]
    return any(
        (incomplete_pass(weights.kernels.shape[1]) and abs(weights.bits) < 8)
        or (weights.bits == -1 and layer.get("dilation", 1) > 1)
        for layer, weights in zip(takers, net.weights, strict=False)
    )


def unused_bias(diagnostic, quadrants):
    """Depth-wise layers store zeros, unused, in quadrants below their own. spec: memory, section 4.2."""
    return "bias memory is stored to" in diagnostic.message and diagnostic.quadrant not in quadrants


def wrong_answers(virtual, answers):
    return sum(
        int(
            np.count_nonzero(
                (virtual.words(block.address + 4 * np.arange(len(block.values))) ^ block.values) & block.mask
            )
        )
        for block in answers
    )


def test_engine_and_virtual_device_agree():
    print(f"seeds {FIRST} … {FIRST + COUNT - 1}")
    tried = 0
    for seed in range(FIRST, FIRST + COUNT):
        net = random_network(seed)
        lowered_program = lowered(net)
        if lowered_program is None or known_defect(net):
            continue
        virtual = VirtualDevice(net.device).load(stores_of(lowered_program)).run()
        severe = [d for d in virtual.diagnostics if d.severity != "note"]
        severe = [str(d) for d in severe if not unused_bias(d, lowered_program.mapping.quadrants)]
        wrong = wrong_answers(virtual, lowered_program.answers)
        if wrong or severe:
            pytest.fail(f"seed {seed}: {wrong} wrong answers; {severe}; {net.layers}")
        tried += 1
    assert tried > 0.7 * COUNT
