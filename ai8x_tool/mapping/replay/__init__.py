"""Replay: an independent simulation of all reads and writes of a mapped network.

It shares no code with the rules or the allocators: whenever a layer reads, memory must contain the data that the
network specifies.
"""

from __future__ import annotations

from ai8x_tool.mapping.mapping import Mapping
from ai8x_tool.mapping.replay.conflict import Conflict
from ai8x_tool.mapping.replay.data_walk import DataWalk
from ai8x_tool.mapping.replay.parameters import walk_biases, walk_kernels

__all__ = ["Conflict", "replay"]


def replay(mapping: Mapping) -> list[Conflict]:
    """Return all conflicts found when the layers run: data, kernels and biases that are not where they are read.

    Layers run in the order of the placement, and also in that of the known-answer test if it differs.
    """
    placement = mapping.placement
    orders = {placement.order, placement.simulated or placement.order}
    found = [conflict for order in sorted(orders, key=len) for conflict in DataWalk(mapping, order).run()]
    return list(dict.fromkeys([*found, *walk_kernels(mapping), *walk_biases(mapping)]))
