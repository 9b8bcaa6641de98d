"""Options of the mapping that no network description has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MappingOptions:
    """How the input arrives, and how memories are filled.

    `fifo`: through a FIFO, which `fast_fifo` makes the fast one and `quad` spreads over four quadrants. Kernels are
    placed from column `weight_start` on; equal kernels are stored once where `deduplicate` is set. `overlap_data`
    allows trailing overlaps of an output with the output of the layer before.
    """

    weight_start: int = 0
    deduplicate: bool = True
    fifo: bool = False
    fast_fifo: bool = False
    quad: bool = False
    ignore_bias_groups: bool = False
    overlap_data: bool = False
