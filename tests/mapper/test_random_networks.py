"""Random small networks: each is mapped and right on the virtual device, or refused with the resource that is short."""

from __future__ import annotations

import os

from ai8x_tool.device import DEVICES
from ai8x_tool.mapper import UnmappableError, map_automatically
from tests.mapper.random_networks import random_network
from tests.mapper.test_small_networks import verified

COUNT = int(os.environ.get("AI8X_RANDOM_NETWORKS", "8"))


def test_random_networks():
    refused = []
    for seed in range(COUNT):
        for device in DEVICES:
            network = random_network(seed, device)
            try:
                found = map_automatically(network, device)
            except UnmappableError as error:
                assert error.shortage.resource in ("data memory", "kernel memory", "bias memory", "layers"), seed
                refused.append((seed, device.name, error.shortage.text))
                continue
            print("seed", seed, device.name)
            verified(found, device)
    assert len(refused) <= 0.03 * 2 * COUNT, refused
